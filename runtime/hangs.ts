// Which record hangs the line: three hangs at one record, and the next line leaves it to the dead letters unprocessed.
import { type RecordPlace, readTaking } from './takingFile.ts';

/** The first hang has no name yet: records are written down only after it. So two named ones make three. */
const NAMED_HANGS_MAX = 2;

/** What the next line must know. */
export interface Hangs {
  /** Write down each record before it is taken. */
  readonly areLookedFor: boolean;
  /** Records to leave out. */
  readonly skip: readonly RecordPlace[];
  /** The line hung and was killed. Answers with the record that is left out from now on, if it was its third time. */
  hung(): RecordPlace | undefined;
}

/** Counts the hangs of the line on this data folder. */
export function countHangs(dir: string): Hangs {
  const times = new Map<string, number>();
  const skip: RecordPlace[] = [];
  let areLookedFor = false;
  return {
    get areLookedFor() {
      return areLookedFor;
    },
    skip,
    hung() {
      const place = areLookedFor ? readTaking(dir) : undefined;
      areLookedFor = true;
      if (place === undefined) return undefined;
      const name = `${place.topic}/${place.partition}@${place.offset}`;
      const count = (times.get(name) ?? 0) + 1;
      times.set(name, count);
      if (count !== NAMED_HANGS_MAX) return undefined;
      skip.push(place);
      return place;
    },
  };
}
