// After a line hung, the next one writes down each record before it takes it: the file then names the one that hangs it.
import { openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** A record by its place. */
export interface RecordPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** Longest line: a topic name of 249 characters and two numbers. Unit: bytes. */
const LINE_BYTES = 320;

const pathIn = (dir: string): string => join(dir, 'taking');

/** The writing half. Each note replaces the one before; it survives a kill, for it is in the system's memory when note() returns. */
export function openTaking(dir: string): { readonly note: (topic: string, partition: number, offset: number) => void } {
  const file = openSync(pathIn(dir), 'w', 0o600);
  const line = Buffer.alloc(LINE_BYTES, ' ');
  return {
    note(topic, partition, offset) {
      line.fill(' ');
      line.write(JSON.stringify({ topic, partition, offset }), 'utf8');
      writeSync(file, line, 0, LINE_BYTES, 0);
    },
  };
}

/** The record that was last taken, undefined when none was written down. */
export function readTaking(dir: string): RecordPlace | undefined {
  try {
    return JSON.parse(readFileSync(pathIn(dir), 'utf8')) as RecordPlace;
  } catch {
    return undefined;
  }
}
