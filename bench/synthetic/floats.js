// Between f32 and the element types of a safetensors file.

/** dtype name on the command line -> name in the file, bytes of an element, and f32 values -> its little-endian bytes. */
export const DTYPES = {
  f32: { name: 'F32', bytes: 4, torch: 'float32', narrow: (values) => bytesOf(values) },
  bf16: { name: 'BF16', bytes: 2, torch: 'bfloat16', narrow: (values) => bytesOf(toBfloat16(values)) },
  f16: { name: 'F16', bytes: 2, torch: 'float16', narrow: (values) => bytesOf(toHalf(values)) },
};

/** Name in the file -> little-endian bytes to f32 values. */
export const WIDEN = {
  F32: (bytes) => new Float32Array(aligned(bytes)),
  BF16: (bytes) =>
    new Float32Array(Uint32Array.from(new Uint16Array(aligned(bytes)), (half) => half << 16).buffer),
  F16: (bytes) => Float32Array.from(new Uint16Array(aligned(bytes)), fromHalf),
};

const bytesOf = (values) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** A copy that starts at a multiple of every element's size. */
const aligned = (bytes) => bytes.slice().buffer;

/** Rounds to the nearest, ties to even. */
function toBfloat16(values) {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = (bits[i] + 0x7fff + ((bits[i] >>> 16) & 1)) >>> 16;
  return out;
}

/** Rounds to the nearest, ties to even, subnormals included; too large becomes infinity. */
function toHalf(values) {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i] >>> 16) & 0x8000;
    const magnitude = bits[i] & 0x7fffffff;
    if (magnitude >= 0x47800000) out[i] = sign | 0x7c00;
    // From 2^-14: re-bias the exponent by 112 and round away 13 bits; a carry runs into the exponent as it should.
    else if (magnitude >= 0x38800000)
      out[i] = sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
    else out[i] = sign | roundEven(Math.abs(values[i]) * 2 ** 24);
  }
  return out;
}

function roundEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

function fromHalf(half) {
  const exponent = (half >>> 10) & 31;
  const mantissa = half & 1023;
  const magnitude = exponent ? (1024 + mantissa) * 2 ** (exponent - 25) : mantissa * 2 ** -24;
  return half & 0x8000 ? -magnitude : magnitude;
}
