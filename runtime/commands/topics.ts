// millrace topics: what the log holds, topic by topic.
import { formatMs } from '../../engine/duration.ts';
import type { TopicInfo } from '../../engine/ports.ts';
import { type Command, print } from '../command.ts';
import { openReader } from '../openReader.ts';
import { rowsText } from '../tableText.ts';

const COLUMNS = ['topic', 'partitions', 'records', 'bytes', 'keep', 'offsets'] as const;

/** Prints a line per topic. `records` counts offsets, so on a compacted topic it is the most there may be. */
export const topics: Command = async ({ data, values }) => {
  const log = await openReader(data);
  try {
    const found = [...(await log.listTopics())].sort((a, b) => (a.name < b.name ? -1 : 1));
    await print(rowsText(values.format as string, { columns: COLUMNS, rows: found.map(rowOf) }));
  } finally {
    await log.close();
  }
  return 0;
};

function rowOf({ name, partitions, bounds, bytes, cleanup, keepMs }: TopicInfo): readonly unknown[] {
  const records = bounds.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0);
  const keep = cleanup === 'compact' ? 'compact' : Number.isFinite(keepMs) ? formatMs(keepMs) : 'for ever';
  return [name, partitions, records, bytes, keep, bounds.map(({ startOffset, endOffset }) => `${startOffset}–${endOffset}`).join(' ')];
}
