import type { SideFile } from '../core/model.js';

/** A license by its identifier on the Hub, and the file that states it. */
export interface License {
  /** `apache-2.0`, `mit` …, or `unknown` when no file states one or its text is not recognized. */
  readonly id: string;
  /** The file it was read from; undefined when there is none. */
  readonly from: string | undefined;
}

/** The title is searched in the first characters only, because licenses mention each other further down. */
const TITLE_CHARACTERS = 600;

/** Licenses recognized by title. */
const TITLES: readonly (readonly [RegExp, string])[] = [
  [/Apache License,?\s+Version 2\.0/i, 'apache-2.0'],
  [/GNU AFFERO GENERAL PUBLIC LICENSE\s+Version 3/i, 'agpl-3.0'],
  [/GNU LESSER GENERAL PUBLIC LICENSE\s+Version 3/i, 'lgpl-3.0'],
  [/GNU LESSER GENERAL PUBLIC LICENSE\s+Version 2\.1/i, 'lgpl-2.1'],
  [/GNU GENERAL PUBLIC LICENSE\s+Version 3/i, 'gpl-3.0'],
  [/GNU GENERAL PUBLIC LICENSE\s+Version 2/i, 'gpl-2.0'],
  [/Mozilla Public License,?\s+Version 2\.0/i, 'mpl-2.0'],
  [/CC0 1\.0 Universal/i, 'cc0-1.0'],
  [/Attribution-NonCommercial-ShareAlike 4\.0/i, 'cc-by-nc-sa-4.0'],
  [/Attribution-NonCommercial 4\.0/i, 'cc-by-nc-4.0'],
  [/Attribution-ShareAlike 4\.0/i, 'cc-by-sa-4.0'],
  [/Attribution 4\.0 International/i, 'cc-by-4.0'],
  [/LLAMA 2 COMMUNITY LICENSE/i, 'llama2'],
  [/LLAMA 3 COMMUNITY LICENSE/i, 'llama3'],
];

/** Short licenses without a reliable title, recognized by a characteristic sentence. */
const SENTENCES: readonly (readonly [RegExp, string])[] = [
  [/Permission is hereby granted, free of charge, to any person obtaining a copy/, 'mit'],
  [/Redistribution and use in source and binary forms.*Neither the name/, 'bsd-3-clause'],
  [/Redistribution and use in source and binary forms/, 'bsd-2-clause'],
  [/This is free and unencumbered software released into the public domain/, 'unlicense'],
  [/Permission to use, copy, modify, and\/or distribute this software for any purpose/, 'isc'],
];

/** Finds the license of a model: from its card's front matter, else from the text of a license file. */
export async function findLicense(sideFiles: readonly SideFile[]): Promise<License> {
  const card = sideFiles.find(({ name }) => name === 'README.md');
  const stated = card && licenseOfCard(await text(card));
  if (stated) return { id: stated, from: card.name };
  const files = sideFiles.filter(({ name }) => /^(licen[sc]e|copying)/i.test(name));
  for (const file of files) {
    const id = recognizeLicense(await text(file));
    if (id) return { id, from: file.name };
  }
  return { id: 'unknown', from: files[0]?.name };
}

/** Returns the `license` in a model card's YAML front matter: all of a list, and the `license_name` instead of `other`. */
export function licenseOfCard(card: string): string | undefined {
  const frontMatter = frontMatterOf(card);
  const value = yamlScalars('license', frontMatter);
  const names = value === 'other' ? yamlScalars('license_name', frontMatter) : undefined;
  return names ?? value;
}

/** Returns the YAML between a card's first two lines of dashes; empty if there is none. */
export function frontMatterOf(card: string): string {
  return /^---\s*\n(.*?)\n---\s*(\n|$)/s.exec(card.replaceAll('\r\n', '\n'))?.[1] ?? '';
}

/** Licenses that permit sharing a modified model on no other condition than notices. */
const PERMISSIVE = new Set(
  'apache-2.0 mit bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear isc unlicense wtfpl zlib bsl-1.0 ncsa cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 pddl cdla-permissive-1.0 cdla-permissive-2.0 artistic-2.0 postgresql ecl-2.0 afl-3.0'.split(
    ' ',
  ),
);

/** Returns whether every license in a comma-separated list is known to be permissive. */
export function isPermissive(id: string): boolean {
  return id.split(', ').every((each) => PERMISSIVE.has(each.toLowerCase()));
}

/** Returns the identifier of a license from its text; undefined if it is not recognized. */
export function recognizeLicense(license: string): string | undefined {
  const plain = license.replaceAll(/\s+/g, ' ');
  const match = (known: typeof TITLES, where: string) => known.find(([pattern]) => pattern.test(where))?.[1];
  return match(TITLES, plain.slice(0, TITLE_CHARACTERS)) ?? match(SENTENCES, plain);
}

/** Returns a top-level `key: value`, `key: [a, b]` or list below `key:` as `a, b`. Front matter needs no more of YAML. */
function yamlScalars(key: string, yaml: string): string | undefined {
  const found = new RegExp(`^${key}:[ \\t]*(.*(?:\\n[ \\t]*- .*)*)`, 'm').exec(yaml)?.[1] ?? '';
  const values = found
    .replace(/\s+#.*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .split(/\n\s*- |,/)
    .map((value) => value.trim().replace(/^(["'])(.*)\1$/, '$2'))
    .filter(Boolean);
  return values.length ? values.join(', ') : undefined;
}

async function text(file: SideFile): Promise<string> {
  return new TextDecoder().decode(await file.read());
}
