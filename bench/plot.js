const [WIDTH, HEIGHT, LEFT, BOTTOM] = [720, 460, 64, 44];

/** A picture of size against divergence, both axes logarithmic: a line of points, and named others. As SVG. */
export function plot(points, others) {
  const all = [...points, ...others];
  const x = scale(
    all.map(({ bytes }) => bytes),
    LEFT,
    WIDTH - 90,
  );
  const y = scale(
    all.map(({ kl }) => kl),
    HEIGHT - BOTTOM,
    20,
  );
  const line = points.map(({ bytes, kl }) => `${x(bytes)},${y(kl)}`).join(' ');
  const dot =
    (fill) =>
    ({ bytes, kl }) =>
      `<circle cx="${x(bytes)}" cy="${y(kl)}" r="3.5" fill="${fill}"/>`;
  const labels = placeLabels(others.map(({ bytes, kl, type }) => ({ x: x(bytes), y: y(kl), type })));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
${ticks([1e-4, 1e-3, 1e-2, 1e-1], y)
  .map(
    ([value, at]) =>
      `<path d="M${LEFT} ${at}H${WIDTH - 20}" stroke="#ddd"/><text x="${LEFT - 8}" y="${at + 4}" text-anchor="end">${value}</text>`,
  )
  .join('\n')}
${ticks([1e6, 2e6, 3e6, 4e6, 6e6], x)
  .map(
    ([value, at]) =>
      `<path d="M${at} 20V${HEIGHT - BOTTOM}" stroke="#ddd"/><text x="${at}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${value / 1e6} MB</text>`,
  )
  .join('\n')}
<text x="${WIDTH / 2}" y="${HEIGHT - 8}" text-anchor="middle">all weights with every table, bytes</text>
<text transform="translate(14 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">KL divergence, nats per token</text>
<polyline points="${line}" fill="none" stroke="#0a6" stroke-width="2"/>
${points.map(dot('#0a6')).join('\n')}
${others.map(dot('#c40')).join('\n')}
${labels.join('\n')}
<text x="${x(points[0].bytes) + 8}" y="${y(points[0].kl) - 6}" fill="#0a6" font-weight="bold">weightpress</text>
</svg>
`;
}

/** Writes names beside points: to the right, or, where another name is, to the left or a line above or below. */
function placeLabels(points) {
  const taken = points.map(({ x, y }) => ({ left: x - 4, right: x + 4, y }));
  const sides = [0, -11, 11].flatMap((dy) => [
    { dx: 7, dy, anchor: 'start' },
    { dx: -7, dy, anchor: 'end' },
  ]);
  return points.map(({ x, y, type }) => {
    const width = 7 * type.length;
    const boxes = sides.map(({ dx, dy, anchor }) => {
      const left = anchor === 'start' ? x + dx : x + dx - width;
      return { left, right: left + width, x: x + dx, y: y + dy, anchor };
    });
    const isFree = (box) =>
      taken.every(({ left, right, y }) => box.right < left || box.left > right || Math.abs(box.y - y) >= 10);
    const box = boxes.find(isFree) ?? boxes[0];
    taken.push(box);
    return `<text x="${box.x}" y="${box.y + 4}" text-anchor="${box.anchor}">${type}</text>`;
  });
}

function scale(values, from, to) {
  const [low, high] = [Math.log(Math.min(...values) * 0.9), Math.log(Math.max(...values) * 1.1)];
  return (value) => Math.round((from + ((Math.log(value) - low) / (high - low)) * (to - from)) * 10) / 10;
}

function ticks(values, position) {
  return values.map((value) => [value, position(value)]).filter(([, at]) => at >= 20 && at <= WIDTH - 20);
}
