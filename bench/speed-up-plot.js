// A picture of speed-ups against workers, both axes logarithmic, as SVG.

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [720, 460, 64, 24, 20, 48];
/** Keeps text apart from the lines behind it. */
const HALO = 'stroke="#fff" stroke-width="3" paint-order="stroke"';
const COLORS = ['#0a6', '#c40', '#06c'];

/**
 * @param {{ name: string, points: { workers: number, speedUp: number }[], bend: { workers: number, speedUp: number, text: string[] } }[]} lines
 * `bend` is where a line has fallen to half of the ideal one, and why.
 * @param {number} most workers
 */
export function plotSpeedUps(lines, most) {
  const place = (from, to) => (value) => round(from + ((to - from) * Math.log2(value)) / Math.log2(most));
  const [x, y] = [place(LEFT, WIDTH - RIGHT), place(HEIGHT - BOTTOM, TOP)];
  const ticks = Array.from({ length: 1 + Math.floor(Math.log2(most)) }, (_, i) => 2 ** i);
  const grid = ticks.map(
    (value) =>
      `<path d="M${LEFT} ${y(value)}H${WIDTH - RIGHT}M${x(value)} ${TOP}V${HEIGHT - BOTTOM}" stroke="#ddd"/>` +
      `<text x="${LEFT - 8}" y="${y(value) + 4}" text-anchor="end">${value}</text>` +
      `<text x="${x(value)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${value}</text>`,
  );
  const curves = lines.map(({ name, points, bend }, i) => {
    const color = COLORS[i];
    const last = points.at(-1);
    const [at, beside] = [x(bend.workers), y(bend.speedUp)];
    return [
      `<polyline points="${points.map((p) => `${x(p.workers)},${y(p.speedUp)}`).join(' ')}" fill="none" stroke="${color}" stroke-width="2"/>`,
      ...points.map((p) => `<circle cx="${x(p.workers)}" cy="${y(p.speedUp)}" r="3" fill="${color}"/>`),
      `<circle cx="${at}" cy="${beside}" r="6" fill="none" stroke="${color}" stroke-width="1.5"/>`,
      ...bend.text.map(
        (text, line) =>
          `<text x="${x(most ** 0.5) + 20}" y="${y(most ** 0.4) + 8 + 15 * (i * (bend.text.length + 0.7) + line)}" fill="${color}" ${HALO}>${text}</text>`,
      ),
      `<text x="${x(last.workers)}" y="${y(last.speedUp) - 9}" fill="${color}" text-anchor="end" font-weight="bold" ${HALO}>${name}</text>`,
    ].join('\n');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
${grid.join('\n')}
<path d="M${x(1)} ${y(1)}L${x(most)} ${y(most)}" stroke="#888" stroke-dasharray="5 4"/>
<text x="${x(most) - 34}" y="${y(most) + 14}" text-anchor="end" fill="#666">ideal</text>
${curves.join('\n')}
<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 10}" text-anchor="middle">workers, one thread each</text>
<text transform="translate(16 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">times as fast as one worker (simulated)</text>
</svg>
`;
}

const round = (value) => Math.round(value * 10) / 10;
