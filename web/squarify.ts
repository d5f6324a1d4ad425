// Rectangles whose areas are proportional to values, as square as possible (Bruls, Huizing and van Wijk, 2000).

export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Divides a rectangle. @param values positive, the largest first. @returns a rectangle for each. */
export function squarify(values: readonly number[], into: Rectangle): Rectangle[] {
  const scale = (into.width * into.height) / values.reduce((sum, value) => sum + value, 0);
  const made: Rectangle[] = [];
  let { x, y, width, height } = into;
  for (let first = 0; first < values.length; ) {
    const side = Math.min(width, height);
    let [end, sum] = [first, 0];
    let worst = Number.POSITIVE_INFINITY;
    // a strip along the shorter side takes values as long as the worst of its rectangles becomes no narrower
    while (end < values.length) {
      const next = sum + values[end]! * scale;
      const [largest, smallest] = [values[first]! * scale, values[end]! * scale];
      const ratio = Math.max(
        (side * side * largest) / (next * next),
        (next * next) / (side * side * smallest),
      );
      if (ratio > worst) break;
      [worst, sum] = [ratio, next];
      end++;
    }
    const depth = side ? sum / side : 0;
    let along = 0;
    for (; first < end; first++) {
      const length = depth ? (values[first]! * scale) / depth : 0;
      made.push(
        width < height
          ? { x: x + along, y, width: length, height: depth }
          : { x, y: y + along, width: depth, height: length },
      );
      along += length;
    }
    if (width < height) [y, height] = [y + depth, Math.max(0, height - depth)];
    else [x, width] = [x + depth, Math.max(0, width - depth)];
  }
  return made;
}
