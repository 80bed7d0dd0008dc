// The series notation of doc comments, and the harness that feeds it to the real task.
import { expect } from 'vitest';
import type { Pipeline } from '../../engine/pipeline.ts';
import { resultCodec } from '../../engine/resultCodec.ts';
import type { Codec } from '../../engine/topic.ts';
import { pipeline, type Stream, stream, table, topic } from '../../index.ts';
import { type DeadLettered, drive } from '../../testing/index.ts';

/** Values of any type, so that a test writes what it means. */
// biome-ignore lint/suspicious/noExplicitAny: a test feeds what no schema has checked
export const anything = resultCodec as Codec<any>;

/** One record to send. value null: no value; key null: no key. */
export interface Event {
  readonly key: string | null;
  readonly value: unknown;
  readonly atMs: number;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function msOf(text: string): number {
  const [, number, unit] = /^(-?[\d.]+)(ms|s|m|h)$/.exec(text) ?? [];
  if (number === undefined) throw new Error(`'${text}' is no time; write 9s, 5ms, 1m`);
  return Math.round(Number(number) * (UNITS[unit as string] as number));
}

/** `1500` as `1.5s`. */
export const secondsOf = (ms: number): string => `${ms / 1_000}s`;

/**
 * Lines such as `d1  0s=20  9s=22`: key, then time=value. Values are JSON, bare words are text, `null` is no value;
 * the key `-` is no key. Lines are merged by time; within a line the order stays, so out-of-order records can be written.
 */
export function series(...lines: readonly string[]): Event[] {
  const queues = lines.map((line) => {
    const [key, ...records] = line.trim().split(/\s+/);
    return records.map((text) => {
      const split = text.indexOf('=');
      return { key: key === '-' ? null : (key as string), value: valueOf(text.slice(split + 1)), atMs: msOf(text.slice(0, split)) };
    });
  });
  const merged: Event[] = [];
  for (;;) {
    const heads = queues.filter((queue) => queue.length > 0);
    if (heads.length === 0) return merged;
    merged.push(heads.reduce((a, b) => ((b[0] as Event).atMs < (a[0] as Event).atMs ? b : a)).shift() as Event);
  }
}

function valueOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** What a run gave: the output and the side as `key time=value`, in order. */
export interface Outcome {
  readonly out: readonly string[];
  readonly side: readonly string[];
  readonly dead: readonly DeadLettered[];
  readonly counters: Readonly<Record<string, number>>;
}

export const input = topic('in', anything);
export const rowsTopic = topic('rows', anything, { keep: 'compact' });
export const rows = table(rowsTopic);
const output = topic('out', anything);
const sideOutput = topic('side', anything);

// biome-ignore lint/suspicious/noExplicitAny: the harness runs pipelines of every type
export type Build = (from: Stream<string, any>) => Stream<any, any, any>;

/** A pipeline around some steps; `side` names a side output to read as well. */
export function around(build: Build, side?: string): Pipeline {
  const built = build(stream(input));
  return pipeline('p', side === undefined ? [built.to(output)] : [built.to(output), built.side(side).to(sideOutput)]);
}

export interface RunOptions {
  readonly side?: string;
  /** Close what is open at the end. Default: true. */
  readonly end?: boolean;
  readonly table?: readonly Event[];
  /** Before the event of this index: cut (commit, drop memory, restore) or crash (drop what is not committed). */
  readonly at?: number;
  readonly how?: 'cut' | 'crash';
  readonly commitEvery?: number;
}

/** Feeds the events and reads what came of them. */
export function run(build: Build, events: readonly Event[], options: RunOptions = {}): Outcome {
  const { side, end = true, at = -1, how = 'cut', commitEvery = 1 } = options;
  const driver = drive(around(build, side), { commitEvery });
  for (const { key, value, atMs } of options.table ?? []) driver.send(rowsTopic, key, value, atMs);
  events.forEach(({ key, value, atMs }, i) => {
    if (i === at) driver[how]();
    driver.send(input, key, value, atMs);
  });
  if (end) driver.end();
  driver.tick(0);
  const lines = (from: typeof output) => driver.read(from).map((r) => `${r.key} ${secondsOf(r.eventTimeMs)}=${shown(r.value)}`);
  return { out: lines(output), side: side === undefined ? [] : lines(sideOutput), dead: driver.deadLetters(), counters: driver.counters() };
}

function shown(value: unknown): string {
  return Buffer.from(anything.encode(value)).toString('utf8');
}

/** Cutting before any event, with a commit or with a crash that loses some, leaves what comes out as it was. */
export function expectCutAnywhere(build: Build, events: readonly Event[], options: RunOptions = {}): void {
  const uncut = run(build, events, options);
  for (let at = 0; at <= events.length; at++) {
    const cut = run(build, events, { ...options, at, how: 'cut' });
    expect([at, cut.out, cut.side]).toEqual([at, uncut.out, uncut.side]);
    const crashed = run(build, events, { ...options, at, how: 'crash', commitEvery: 3 });
    expect([at, crashed.out, crashed.side]).toEqual([at, uncut.out, uncut.side]);
  }
}

/** Codes of the dead letters, in order. */
export const codes = ({ dead }: Outcome): readonly string[] => dead.map(({ code }) => code);
