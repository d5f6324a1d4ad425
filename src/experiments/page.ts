/** Escapes text for HTML. */
export function escapeHtml(text: string): string {
  const named: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replaceAll(/[&<>"]/g, (character) => named[character]!);
}

/** Returns a table that scrolls horizontally on a narrow screen. Cells with numbers are right-aligned. */
export function htmlTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cell = (text: string) =>
    `<td${/^[-–\d]/.test(text) ? ' class="number"' : ''}>${escapeHtml(text)}</td>`;
  const body = rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('\n');
  const titles = head.map((title) => `<th scope="col">${escapeHtml(title)}</th>`).join('');
  return `<div class="scroll" tabindex="0"><table><thead><tr>${titles}</tr></thead><tbody>\n${body}\n</tbody></table></div>`;
}

/** Returns a self-contained page with styles for phones, dark mode and print. */
export function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}

const STYLE = `
:root { color-scheme: light dark; --own: light-dark(#0a7a4b, #4fd69c); --faint: color-mix(in srgb, currentColor 16%, transparent);
  --other-0: light-dark(#5b6470, #aab4c0); --other-1: light-dark(#b3261e, #ff8a80); --other-2: light-dark(#8a5a00, #e8b75a); --other-3: light-dark(#0b62b0, #7ab8f5);
  --other-4: light-dark(#7b3fa0, #cf9bf0); --other-5: light-dark(#00707a, #63cfd8); --other-6: light-dark(#a3336b, #f29ac4); --other-7: light-dark(#5d6b00, #bfce5a); }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 58rem; margin: 0 auto; padding: 1.5rem 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
figure { margin: 1.5rem 0 1rem; } figcaption { font-size: .95rem; max-width: 46rem; }
svg.chart { display: block; width: 100%; height: auto; font: 12.5px system-ui, sans-serif; fill: currentColor; } svg.wide { font-size: 10.5px; }
svg .grid { stroke: var(--faint); } svg .axis { font-weight: 600; } svg .emphasized { font-weight: 700; font-size: 1.2em; }
.beside { display: grid; grid-template-columns: 3fr 2fr; gap: 1.5rem; align-items: center; margin: 1.5rem 0; }
.beside p, .compaction p { margin: 0; font-size: .95rem; } .row { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.methods { columns: 2; column-gap: 2rem; margin: 0; font-size: .95rem; } .methods div { break-inside: avoid; margin-bottom: .5rem; } dt { font-weight: 600; } dd { margin: 0; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .7rem; border-bottom: 1px solid var(--faint); white-space: nowrap; }
th:first-child, td:first-child { padding-left: 0; } td.number, th + th { text-align: right; }
.sentences td:last-child { white-space: normal; overflow-wrap: anywhere; } .sentences td, .sentences th { vertical-align: top; }
@media (max-width: 40rem) { .beside { grid-template-columns: 1fr; } .row { grid-template-columns: 1fr; } .methods { columns: 1; } svg.chart { font-size: 15px; } svg.wide { font-size: 16px; } }
@page { size: A4; margin: 11mm; }
@media print {
  :root { color-scheme: light; font-size: 8.5pt; } body { font-size: 8.5pt; line-height: 1.3; } main { max-width: none; padding: 0; } section + section { break-before: page; }
  h1 { font-size: 14pt; margin: 0; } h2, h3 { margin: 4pt 0; font-size: 10pt; } figure { margin: 4pt 0; } p { margin: 3pt 0; } svg.wide { max-height: 74mm; } .beside svg { max-height: 52mm; }
  .beside { grid-template-columns: 3fr 2fr; margin: 4pt 0; } .methods { columns: 2; } .methods div { margin-bottom: 2pt; } dd, dt { display: inline; } dt::after { content: ': '; }
  .compaction { break-before: page; } .row svg { font-size: 15px; } .compaction p, .beside p { font-size: 8pt; } .row { grid-template-columns: repeat(4, 1fr); gap: 2mm; } .tables { display: flex; flex-wrap: wrap; column-gap: 6mm; }
  .scroll { overflow: visible; margin: 2pt 0; } table { font-size: 6.5pt; } th, td { padding: 0 4pt; } tr, figure { break-inside: avoid; }
  .sentences .scroll { columns: 2; column-gap: 5mm; } .sentences table { font-size: 6pt; line-height: 1.1; } .sentences th, .sentences td { padding: 0 2pt; }
}
`;
