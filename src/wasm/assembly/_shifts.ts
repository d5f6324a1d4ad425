// Symbols of floats less the scale of their row and column. spec/wpk-v1.md, "Shifted floats".

/**
 * Shifts `count` u16 symbols from number `first` of a block on: those that are not 0 by `sign` times the sum of the shifts of their row and column,
 * modulo the others; then moves them left by `low`. Shifts are bytes, less 128. The block begins in column `column`.
 */
export function shiftSymbols(symbols: usize, first: u32, count: u32, column: u32, columns: u32, rows: usize, columnShifts: usize, others: u32, sign: i32, low: u32): void {
  const start = column + first;
  let row = start / columns, at = start % columns;
  for (let i: u32 = 0; i < count; i++) {
    const place = symbols + (<usize>i << 1);
    let symbol = <i32>load<u16>(place);
    if (symbol) {
      const shift = <i32>load<u8>(rows + row) + <i32>load<u8>(columnShifts + at) - 256;
      symbol = (symbol - 1 + sign * shift) % <i32>others;
      if (symbol < 0) symbol += <i32>others;
      symbol++;
    }
    store<u16>(place, <u16>(symbol << low));
    if (++at == columns) {
      at = 0;
      row++;
    }
  }
}
