// Finds the name somebody probably meant.

/**
 * The name nearest to `given` by edits (insert, delete, replace, swap of neighbours); ties go to the first.
 * Undefined when even the nearest shares less than half with it, for then a guess only misleads.
 */
export function nearest(given: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestEdits = Number.POSITIVE_INFINITY;
  for (const name of names) {
    const edits = editsBetween(given.toLowerCase(), name.toLowerCase());
    if (edits < bestEdits) [best, bestEdits] = [name, edits];
  }
  return best !== undefined && bestEdits <= Math.ceil(Math.max(given.length, best.length) / 2) ? best : undefined;
}

/** ` Did you mean x?`, or the whole list when nothing is near. */
export function didYouMean(given: string, names: readonly string[], show: (name: string) => string = (name) => name): string {
  const name = nearest(given, names);
  if (name !== undefined) return `did you mean ${show(name)}?`;
  return names.length === 0 ? 'there are none' : `there are ${names.map(show).join(', ')}`;
}

/** Edit distance of optimal string alignment, three rows at a time. */
function editsBetween(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let edits = Math.min((row[j - 1] as number) + 1, (above[j] as number) + 1, (above[j - 1] as number) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) edits = Math.min(edits, (before[j - 2] as number) + 1);
      row.push(edits);
    }
    before = above;
    above = row;
  }
  return above[b.length] as number;
}
