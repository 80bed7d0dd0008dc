// Many rows into the order of their keys, when a window of many keys closes at once.
import type { LookupKey } from './storeKey.ts';

/** Fewer rows are sorted by comparing their keys. */
const FEW = 64;

/**
 * Sorts rows backwards by `compare`, which orders plain text keys as `<` does.
 *
 * Comparing text costs a trip to memory for each side. Keys of one kind of device begin alike, so what tells them apart
 * is a few characters: these become one number per row, the numbers are compared, and the text only where they are equal.
 */
export function sortBackwards(rows: number[], keyOf: (row: number) => LookupKey, compare: (a: number, b: number) => number): void {
  const ranks = rows.length < FEW ? undefined : ranksOf(rows, keyOf);
  if (ranks === undefined) {
    if (rows.length > 1) rows.sort((a, b) => compare(b, a));
    return;
  }
  const order = Array.from(rows, (_, i) => i);
  order.sort((a, b) => (ranks[b] as number) - (ranks[a] as number) || compare(rows[b] as number, rows[a] as number));
  const sorted = order.map((i) => rows[i] as number);
  for (let i = 0; i < sorted.length; i++) rows[i] = sorted[i] as number;
}

/** Three 16-bit characters, or six if all are Latin-1, behind what all keys begin with; undefined unless all are plain text. */
function ranksOf(rows: readonly number[], keyOf: (row: number) => LookupKey): Float64Array | undefined {
  const first = keyOf(rows[0] as number);
  if (typeof first !== 'string') return undefined;
  let common = first.length;
  const texts: string[] = [];
  for (const row of rows) {
    const text = keyOf(row);
    if (typeof text !== 'string' || text.charCodeAt(0) === 0) return undefined;
    texts.push(text);
    let same = 0;
    while (same < common && text.charCodeAt(same) === first.charCodeAt(same)) same++;
    common = same;
  }
  return rankAll(texts, common, 6, 256) ?? rankAll(texts, common, 3, 65_536);
}

/** undefined when a character is not below `base`. */
function rankAll(texts: readonly string[], from: number, digits: number, base: number): Float64Array | undefined {
  const ranks = new Float64Array(texts.length);
  for (let t = 0; t < texts.length; t++) {
    const text = texts[t] as string;
    let rank = 0;
    for (let i = from; i < from + digits; i++) {
      // Where the text ends, it comes before all others but those that go on with NUL: these are told apart by comparing.
      const digit = i < text.length ? text.charCodeAt(i) : 0;
      if (digit >= base) return undefined;
      rank = rank * base + digit;
    }
    ranks[t] = rank;
  }
  return ranks;
}
