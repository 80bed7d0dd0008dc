// The product stands alone: no paths of the machine it was written on, no hosts of package registries.
import type { Finding } from './source.ts';

/** Never in a tracked file: pattern, and why. A class of one letter keeps this file from finding itself. */
const NEVER: readonly (readonly [RegExp, string])[] = [
  [/\/wor[k]\//, 'a path of one machine; use a path relative to the file, or a temporary folder'],
  [/\/roo[t]\//, 'a path of one machine; use a path relative to the file, or a temporary folder'],
  [/\/(?:home|Users)\/[a-z]\w*\//, 'somebody’s home folder; use a path relative to the file, or os.homedir()'],
  [
    /"resolved": "https?:\/\/(?!registry\.npmjs\.org\/)/,
    'a package registry of one machine; npm install --omit-lockfile-registry-resolved leaves it out',
  ],
  [/https?:\/\/registry\.(?!npmjs\.org)[a-z0-9.-]+/, 'a package registry of one machine; name the package, not where it was fetched'],
];

/** Material beside the repository: only tests may use it, and they skip without it. */
const BESIDE = /\.\.\/share[d]\//;

/** Names of one machine's places in a text file. */
export function places(path: string, text: string): readonly Finding[] {
  const found: Finding[] = [];
  text.split('\n').forEach((line, index) => {
    const add = (message: string): void => void found.push({ path, line: index + 1, rule: 'places', message });
    for (const [pattern, why] of NEVER) if (pattern.test(line)) add(why);
    if (!path.startsWith('test/') && BESIDE.test(line)) add('users do not have this folder; keep what is needed in the repository');
  });
  return found;
}
