// Colors of roles and types, the same in light and dark.

/** Colors by role; other names take the remaining ones in order. */
const ROLES: Readonly<Record<string, string>> = {
  'token embedding': '#4a6fc3',
  'position embedding': '#7d9fdd',
  attention: '#c5763a',
  MLP: '#3c8f7c',
  norm: '#a2923b',
  head: '#8a63ae',
  buffer: '#868c96',
  other: '#b0667c',
};
const OTHERS = ['#4a6fc3', '#3c8f7c', '#c5763a', '#8a63ae', '#a2923b', '#b0667c', '#7d9fdd', '#868c96'];

/** Returns a function from names to colors that differ as long as there are enough. */
export function colorsFor(names: readonly string[]): (name: string) => string {
  const free = names.some((name) => name in ROLES) ? ['#868c96', '#a9adb5'] : OTHERS;
  const others = names.filter((name) => !(name in ROLES));
  return (name) => ROLES[name] ?? free[Math.max(0, others.indexOf(name)) % free.length]!;
}

/** Returns the color of text on a color: the one with more contrast. */
export function inkOn(color: string): string {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const value = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b! > 0.179 ? '#101114' : '#ffffff';
}
