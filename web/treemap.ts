// Draws sizes as a map: an area per layer, role or type, and in it one per tensor.
import { colorsFor, inkOn } from './colors.js';
import { bytes, count, shapeOf, share } from './numbers.js';
import { groupBy, layerOf, type Opened, type Row, sumsBy } from './opened.js';
import { element, find } from './page.js';
import { type Rectangle, squarify } from './squarify.js';

/** Ways to group tensors: the key of a group, and of a color. */
const GROUPINGS: Readonly<Record<string, { group(row: Row): string; color(row: Row): string }>> = {
  layer: { group: (row) => layerOf(row.name) ?? row.role, color: (row) => row.role },
  role: { group: (row) => row.role, color: (row) => row.role },
  type: { group: (row) => row.dtype, color: (row) => row.dtype },
};
const TITLE_HEIGHT = 17;
const FONT = '12px system-ui, sans-serif';

interface Area extends Rectangle {
  readonly row: Row;
  readonly fill: string;
}

let areas: Area[] = [];
let shown: Opened | undefined;
let chosen: Row | undefined;

/** Shows a map. @param pick called with a tensor that is clicked. */
export function showMap(opened: Opened, pick: (row: Row) => void): void {
  [shown, chosen] = [opened, undefined];
  const canvas = find<HTMLCanvasElement>('map');
  canvas.onclick = (event) => {
    const area = areaAt(event);
    if (area) pick(area.row);
  };
  canvas.onpointermove = (event) => describe(areaAt(event)?.row);
  canvas.onpointerleave = () => describe(undefined);
  find('grouping').onchange = drawMap;
  describe(undefined);
  drawMap();
}

/** Marks a tensor. */
export function markInMap(row: Row): void {
  chosen = row;
  drawMap();
}

/** Draws the map as large as it is on the page; does nothing while it is not visible. */
export function drawMap(): void {
  const canvas = find<HTMLCanvasElement>('map');
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!shown || !width) return;
  const scale = devicePixelRatio;
  [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  const context = canvas.getContext('2d')!;
  context.scale(scale, scale);
  context.font = FONT;
  const { group, color } = GROUPINGS[find<HTMLSelectElement>('grouping').value]!;
  const rows = shown.rows.filter((row) => row.bytes > 0);
  const colors = sumsBy(rows, color).map(([name]) => name);
  const fillOf = colorsFor(colors);
  const style = getComputedStyle(canvas);
  const groups = sumsBy(rows, group);
  const members = groupBy(rows, group);
  areas = [];
  const places = squarify(
    groups.map(([, sum]) => sum.bytes),
    { x: 0, y: 0, width, height },
  );
  for (const [i, [name]] of groups.entries()) {
    const inner = drawGroup(context, places[i]!, name, style.color);
    const own = members.get(name)!.toSorted((a, b) => b.bytes - a.bytes);
    const rectangles = squarify(
      own.map((row) => row.bytes),
      inner,
    );
    for (const [j, row] of own.entries()) areas.push({ ...rectangles[j]!, row, fill: fillOf(color(row)) });
  }
  for (const area of areas) drawTensor(context, area);
  const marked = areas.find(({ row }) => row === chosen);
  if (marked) outline(context, marked, style);
  canvas.setAttribute(
    'aria-label',
    `Sizes of ${count(rows.length)} tensors as areas; the table has the same numbers`,
  );
  find('legend').replaceChildren(...colors.map((name) => swatch(name, fillOf(name))));
}

/** Returns a legend's entry. */
export function swatch(name: string, color: string): HTMLElement {
  const made = element('span', name, 'swatch');
  made.style.setProperty('--swatch', color);
  return made;
}

/** Draws a group's name where there is room. @returns the place for its tensors. */
function drawGroup(
  context: CanvasRenderingContext2D,
  place: Rectangle,
  name: string,
  ink: string,
): Rectangle {
  const { x, y, width, height } = place;
  const titled = width > 44 && height > 3 * TITLE_HEIGHT;
  const top = titled ? TITLE_HEIGHT : 0;
  const gap = Math.min(width, height) > 12 ? 1.5 : 0;
  if (titled) {
    context.fillStyle = ink;
    context.fillText(fitted(context, name, width - 6), x + 3, y + 12);
  }
  return { x: x + gap, y: y + top + gap, width: width - 2 * gap, height: height - top - 2 * gap };
}

function drawTensor(context: CanvasRenderingContext2D, { x, y, width, height, row, fill }: Area): void {
  const gap = Math.min(width, height) > 4 ? 0.5 : 0;
  context.fillStyle = fill;
  context.fillRect(x + gap, y + gap, Math.max(0.3, width - 2 * gap), Math.max(0.3, height - 2 * gap));
  if (width < 48 || height < 20) return;
  context.fillStyle = inkOn(fill);
  const name = row.name.slice((layerOf(row.name)?.length ?? -1) + 1).replace(/\.weight$/, '');
  const size = bytes(row.bytes);
  context.fillText(fitted(context, name, width - 8), x + 5, y + 15);
  if (height > 38 && context.measureText(size).width < width - 8) context.fillText(size, x + 5, y + 31);
}

function outline(
  context: CanvasRenderingContext2D,
  { x, y, width, height }: Area,
  style: CSSStyleDeclaration,
): void {
  context.lineWidth = 2.5;
  context.strokeStyle = style.color;
  context.strokeRect(x + 1, y + 1, Math.max(2, width - 2), Math.max(2, height - 2));
}

/** Returns a name without as many of its first parts as it has no room for; nothing if its last part is too long. */
function fitted(context: CanvasRenderingContext2D, name: string, width: number): string {
  const parts = name.split('.');
  const first = parts.findIndex((_, i) => context.measureText(parts.slice(i).join('.')).width <= width);
  return first < 0 ? '' : parts.slice(first).join('.');
}

function areaAt({ offsetX, offsetY }: MouseEvent): Area | undefined {
  return areas.findLast(
    ({ x, y, width, height }) => offsetX >= x && offsetX < x + width && offsetY >= y && offsetY < y + height,
  );
}

function describe(row: Row | undefined): void {
  find('pointed').textContent = row
    ? `${row.name}: ${shapeOf(row.shape)} ${row.dtype}, ${bytes(row.bytes)}, ${share(row.bytes / shown!.fileBytes)}`
    : 'An area is as large as its tensor. Choose one to see its values.';
}
