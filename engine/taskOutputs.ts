// All one task sends: results, rekeyed records, marks, journal, dead letters. Held back until the record they come from stands.
import { DEAD_LETTER_TOPIC, deadLetterHeaders } from './deadLetter.ts';
import { type ErrorCode, codeOf, MillraceError, messageOf } from './errors.ts';
import type { JournalEntry } from './journal.ts';
import { Outbox } from './outbox.ts';
import type { Plan, PlanNode } from './plan.ts';
import type { OutputBuffer } from './ports.ts';
import { noHeaders } from './record.ts';
import { encodeMark, encodeRekeyed, encodeRekeyKey } from './rekey.ts';
import type { Place } from './replay.ts';
import { resultCodec } from './resultCodec.ts';
import type { DueStore, RekeyOut } from './segment.ts';
import type { AnyRec } from './step.ts';
import type { Codec } from './topic.ts';

/** What went wrong, and in which step. */
export interface Failure {
  readonly step: string;
  readonly error: unknown;
}

interface Origin {
  readonly topic: string;
  readonly partition?: number;
  readonly offset?: number;
  readonly eventTimeMs: number;
}

/** Stages what a record or due call wants to send, then settles or drops it. */
export class TaskOutputs {
  /** Unit: epoch ms. Marks of idleness, journal and dead letters carry it. */
  wallMs = 0;
  /** Records that stood and were sent. */
  sent = 0;
  readonly #plan: Plan;
  readonly #partition: number;
  readonly #boxed: Codec<unknown>;
  readonly #outbox = new Outbox();
  #buffer: OutputBuffer | undefined;
  /** Rekeys whose idleness the record under way has ended: idle again if it is undone. */
  readonly #endedIdleness: RekeyOut[] = [];

  constructor(plan: Plan, partition: number, boxed: Codec<unknown>) {
    this.#plan = plan;
    this.#partition = partition;
    this.#boxed = boxed;
  }

  /** Where everything goes from now on: the worker's buffer of the current commit. */
  writeTo(buffer: OutputBuffer): void {
    this.#buffer = buffer;
  }

  /** Stages a result. Errors: E_EVENT_TIME, E_TOO_LARGE, whatever the topic's codecs raise. */
  emit({ topic, partitions }: Plan['outputs'][number], out: AnyRec): void {
    if (!Number.isSafeInteger(out.eventTimeMs))
      throw new MillraceError('E_EVENT_TIME', `event time ${String(out.eventTimeMs)} is not whole epoch milliseconds`);
    const key = out.key === null ? null : topic.keyCodec.encode(out.key);
    const value = out.value === null ? null : topic.codec.encode(out.value);
    this.#outbox.stage(topic.name, partitions, key, value, out.eventTimeMs, out.headers);
  }

  /** Stages a record under its new key. Whoever was idle says so no longer, before its first record, so that nobody's time runs past it. */
  emitRekeyed(to: RekeyOut, out: AnyRec, segmentTimeMs: number): void {
    const key = to.node.node.kind === 'step' ? to.node.node.spec.rekey?.(out.value, out) : undefined;
    const keyBytes = encodeRekeyKey(key);
    const value = encodeRekeyed(this.#boxed, key, this.#partition, out.value);
    if (to.sent === 'idle') {
      this.stageMark(to, Math.min(segmentTimeMs - to.node.lagMs, out.eventTimeMs));
      this.#endedIdleness.push(to);
    }
    this.#outbox.stage(to.topicName, this.#plan.pipeline.options.partitions, keyBytes, value, out.eventTimeMs, out.headers);
  }

  /** A mark goes to every partition of the rekey topic. */
  stageMark(out: RekeyOut, mark: number | 'idle'): void {
    const isIdle = mark === 'idle';
    const value = encodeMark(this.#boxed, { from: this.#partition, timeMs: isIdle ? null : mark });
    for (let p = 0; p < this.#plan.pipeline.options.partitions; p++)
      this.#outbox.stageTo(out.topicName, p, null, value, isIdle ? this.wallMs : mark, noHeaders);
    out.sent = mark;
  }

  stageJournal(entries: readonly JournalEntry[]): void {
    this.#outbox.stageTo(this.#plan.journalTopic, this.#partition, null, this.#boxed.encode(entries), this.wallMs, noHeaders);
  }

  /** What is staged stands: it goes into the commit. */
  settle(): void {
    if (this.#endedIdleness.length > 0) this.#endedIdleness.length = 0;
    if (!this.#outbox.isEmpty) this.sent += this.#outbox.settle(this.#buffer as OutputBuffer);
  }

  /** What is staged is undone. */
  drop(): void {
    this.#outbox.drop();
    for (const out of this.#endedIdleness) out.sent = 'idle';
    this.#endedIdleness.length = 0;
  }

  /** Writes marks and journal of a cut: no record's, so not counted as sent. */
  settleUncounted(): void {
    this.#outbox.settle(this.#buffer as OutputBuffer);
  }

  /** Sends a record to the dead letters with its raw bytes. Errors that are no record's fault are thrown instead. */
  deadLetterOf(topic: string, partition: number, { batch, at }: Place, failure: Failure): ErrorCode {
    const bytesOf = (start: number, end: number) => (start < 0 ? null : batch.bytes.subarray(start, end));
    const origin = {
      topic,
      partition,
      offset: batch.baseOffset + (batch.offsetDelta[at] as number),
      eventTimeMs: batch.timeMs[at] as number,
    };
    const key = bytesOf(batch.keyStart[at] as number, batch.keyEnd[at] as number);
    const value = bytesOf(batch.valueStart[at] as number, batch.valueEnd[at] as number);
    return this.#deadLetter(failure, origin, key, value, batch.headers(at));
  }

  /** The same for a window or timer whose due call failed: its row is what there is. */
  deadLetterOfDue(node: PlanNode, dropped: ReturnType<DueStore['store']['dropDue']>, failure: Failure): ErrorCode {
    const origin = { topic: `${this.#plan.pipeline.id}/${node.name}/${dropped.what}`, eventTimeMs: dropped.atMs };
    return this.#deadLetter(failure, origin, encodeRekeyKey(dropped.key), resultCodec.encode(dropped.row as object), noHeaders);
  }

  #deadLetter(
    { step, error }: Failure,
    origin: Origin,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: AnyRec['headers'],
  ): ErrorCode {
    const code = codeOf(error);
    const letter = { code, reason: messageOf(error), pipeline: this.#plan.pipeline.id, step, ...origin };
    this.#outbox.stageTo(DEAD_LETTER_TOPIC, 0, key, value, this.wallMs, deadLetterHeaders(letter, headers));
    this.settleUncounted();
    return code;
  }
}
