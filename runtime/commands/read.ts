// millrace read: the records of a topic as NDJSON, from a place on, with or without a running instance.
import { MillraceError } from '../../engine/errors.ts';
import type { Fetched } from '../../engine/ports.ts';
import { type Command, type CommandCall, print } from '../command.ts';
import { type LogReader, openReader, topicNamed } from '../openReader.ts';
import { recordLine } from '../recordText.ts';

/** How long one look for new records may take; Ctrl-C is heard between looks. Unit: ms. */
const FOLLOW_WAIT_MS = 250;

/** A partition and how far it is read. */
interface Cursor {
  readonly partition: number;
  offset: number;
  /** Where to stop without --follow: the end when the command began. */
  readonly endOffset: number;
}

/** Prints records until the end, the limit, or for ever with --follow. */
export const read: Command = async (call) => {
  const log = await openReader(call.data);
  let stopped = false;
  const stop = (): void => {
    stopped = true;
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    await printRecords(log, call, () => stopped);
  } finally {
    await log.close();
  }
  return 0;
};

async function printRecords(log: LogReader, { args, values }: CommandCall, stopped: () => boolean): Promise<void> {
  const topic = args[0] as string;
  const cursors = await cursorsOf(log, topic, values.from, values.partition);
  let left = values.limit ?? Number.POSITIVE_INFINITY;
  while (!stopped() && left > 0) {
    const open = cursors.filter((c) => values.follow || c.offset < c.endOffset);
    if (open.length === 0) return;
    const wants = open.map(({ partition, offset }) => ({ topic, partition, offset }));
    const fetched = await log.fetch(wants, { waitMs: values.follow ? FOLLOW_WAIT_MS : 0 });
    for (const answer of fetched) {
      const cursor = open.find((c) => c.partition === answer.partition) as Cursor;
      left = await printFetched(answer, cursor, values.follow ? Number.POSITIVE_INFINITY : cursor.endOffset, left);
    }
  }
}

/** Prints one partition's share and moves its cursor; answers how many records may still come. */
async function printFetched(answer: Fetched, cursor: Cursor, endOffset: number, limit: number): Promise<number> {
  let left = limit;
  for (const batch of answer.batches) {
    let text = '';
    for (let i = 0; i < batch.count && left > 0; i++) {
      const offset = batch.baseOffset + (batch.offsetDelta[i] as number);
      if (offset < cursor.offset || offset >= endOffset) continue;
      text += recordLine(answer.topic, answer.partition, batch, i);
      left--;
    }
    if (text !== '') await print(text);
  }
  cursor.offset = answer.nextOffset;
  return left;
}

async function cursorsOf(log: LogReader, name: string, from: string, partition: number | undefined): Promise<Cursor[]> {
  const start = startOf(from);
  const topic = await topicNamed(log, name);
  if (partition !== undefined && partition >= topic.partitions)
    throw new MillraceError('E_USAGE', `--partition ${partition}: topic '${name}' has partitions 0 to ${topic.partitions - 1}`);
  const wanted = partition === undefined ? topic.bounds.map((_, p) => p) : [partition];
  if (typeof start === 'number' && wanted.length > 1)
    throw new MillraceError('E_USAGE', `--from ${from}: topic '${name}' has ${topic.partitions} partitions; an offset needs --partition`);
  return Promise.all(
    wanted.map(async (p): Promise<Cursor> => {
      const { startOffset, endOffset } = await log.bounds(name, p);
      const offset =
        start === 'beginning'
          ? startOffset
          : start === 'end'
            ? endOffset
            : typeof start === 'number'
              ? start
              : await log.offsetForTime(name, p, start.getTime());
      if (offset < startOffset || offset > endOffset)
        throw new MillraceError(
          'E_OFFSET_OUT_OF_RANGE',
          `topic '${name}', partition ${p} holds offsets ${startOffset} to ${endOffset}, --from asks for ${offset}`,
        );
      return { partition: p, offset, endOffset };
    }),
  );
}

function startOf(from: string): 'beginning' | 'end' | number | Date {
  if (from === 'beginning' || from === 'end') return from;
  if (/^\d+$/.test(from)) return Number(from);
  const time = /^\d{4}-\d\d-\d\d(T|$)/.test(from) ? new Date(from) : new Date(Number.NaN);
  if (Number.isNaN(time.getTime()))
    throw new MillraceError('E_USAGE', `--from '${from}': use beginning, end, an offset, or a time such as 2024-05-01T06:00:00Z`);
  return time;
}
