// aggregate: statistics per key and window.
import { MillraceError } from '../engine/errors.ts';
import { type Rec, record } from '../engine/record.ts';
import { type AnyRec, type Step, type StepContext, step } from '../engine/step.ts';
import type { CellSpec, WindowStore } from '../engine/stores.ts';
import type { Stream } from '../engine/stream.ts';
import { type Aggregator, BadObservation } from './aggregators/aggregator.ts';
import { definedId } from './definedId.ts';
import { keyOf } from './keyOf.ts';
import { outletOf } from './outlet.ts';
import { firstStartMs, type Window, type Windowing } from './windowing.ts';

/** A field of the result with its place in the row. */
interface Field {
  readonly name: string;
  readonly aggregator: Aggregator<unknown, unknown>;
  /** Offset of its first number and first box among the row's cells. */
  readonly at: number;
  readonly boxAt: number;
}

/** Names that are ours: the window's bounds, a name that would set an object's prototype, and the cell of updates. */
const TAKEN = ['startMs', 'endMs', '__proto__', '~latest'];

/**
 * Emits one result per key and window: `final`, once, when the window closes; `updates`, for every record that changes it.
 *
 * Shape   Rec<K, V> → Rec<K, Window & R>         Unit    startMs, endMs: epoch ms; fields as their aggregator says
 * Time    event time; [startMs, endMs), closed when the step's stream time ≥ endMs + grace. A final result has the event
 *         time endMs − 1 ms; an update the latest event time in its window
 * State   one row per open (key, window), deleted at close
 * Late    a record goes once, as it came, to the side `late` if one of its windows was closed already; counters
 *         `late_records`, `late_windows`. Windows of it that are still open take it in
 * Order   final: by close, then key; updates: as the records, windows by start
 * Errors  E_NULL_KEY · E_CALLBACK · E_RESULT (names the field) → dead letter; the record leaves no trace in any window
 * Cost    O(aggregators) a record and window; O(closing) a close
 * Source  Kafka Streams TimeWindows; differences in docs/semantics.md (closed windows are always emitted, once)
 * @example aggregate('a', tumbling({ minutes: 1 }), { mean: mean((v) => v) })
 *   in   d1  0s=20  9s=22  61s=30
 *   out  d1  59.999s={"startMs":0,"endMs":60000,"mean":21}
 */
export function aggregate<K, V, R extends object>(
  id: string,
  windows: Windowing,
  aggregators: { readonly [N in keyof R]: Aggregator<V, R[N]> },
): Step<Rec<K, V>, Rec<K, Window & R>, { late: Stream<K, V> }> {
  definedId('aggregate', id);
  const fields = fieldsOf(id, aggregators);
  return step({
    kind: 'aggregate',
    id,
    describe: `${windows.describe}: ${fields.map((f) => `${f.name} ${f.aggregator.kind}`).join(', ')}`,
    shape: `${windows.kind} size ${windows.sizeMs} advance ${windows.advanceMs} grace ${windows.graceMs}`,
    graceMs: windows.graceMs,
    sides: ['late'],
    build: (context) => (windows.emit === 'final' ? finalResults(context, windows, fields) : everyUpdate(context, windows, fields)),
  });
}

function fieldsOf(id: string, aggregators: object): readonly Field[] {
  const fields: Field[] = [];
  let at = 0;
  let boxAt = 0;
  for (const [name, aggregator] of Object.entries(aggregators as Record<string, Aggregator<unknown, unknown>>)) {
    if (TAKEN.includes(name)) throw new MillraceError('E_PIPELINE', `aggregate '${id}': the field name '${name}' is taken; use another`);
    if (typeof aggregator?.add !== 'function')
      throw new MillraceError(
        'E_PIPELINE',
        `aggregate '${id}': the field '${name}' is no aggregator; use one such as count() or mean((r) => r.pm25)`,
      );
    fields.push({ name, aggregator, at, boxAt });
    at += aggregator.width;
    boxAt += aggregator.boxes;
  }
  if (fields.length === 0) throw new MillraceError('E_PIPELINE', `aggregate '${id}': needs at least one aggregator, e.g. { n: count() }`);
  return fields;
}

const cellOf = ({ name, aggregator: { kind, width, boxes, init } }: Field): CellSpec => ({ name, kind, width, boxes, init });

function finalResults(context: StepContext, windows: Windowing, fields: readonly Field[]) {
  const outlet = outletOf(context);
  const store = context.windowStore<unknown>({
    name: 'windows',
    cells: fields.map(cellOf),
    onDue: (row, due) => outlet.due(() => outlet.emit(record(due.key(row), resultOf(due, row, fields), due.endMs(row) - 1))),
  });
  return outlet.operator(intoWindows(context, windows, fields, store, () => {}));
}

/** The latest event time in the window is a cell of its own here: an update carries it. */
const LATEST: CellSpec = {
  name: '~latest',
  kind: 'latest event time',
  width: 1,
  boxes: 0,
  init(numbers, i) {
    numbers[i] = Number.NEGATIVE_INFINITY;
  },
};

function everyUpdate(context: StepContext, windows: Windowing, fields: readonly Field[]) {
  const outlet = outletOf(context);
  const cells = [...fields.map(cellOf), LATEST];
  const latestAt = fields.reduce((width, { aggregator }) => width + aggregator.width, 0);
  const store = context.windowStore<unknown>({ name: 'windows', cells, onDue: () => {} });
  const updated = (row: number, fresh: boolean, { eventTimeMs, headers }: AnyRec): void => {
    const i = store.cells(row) + latestAt;
    const before = fresh ? Number.NEGATIVE_INFINITY : (store.numbers[i] as number);
    const latest = eventTimeMs > before ? eventTimeMs : before;
    store.numbers[i] = latest;
    outlet.emit(record(store.key(row), resultOf(store, row, fields), latest, headers));
  };
  return outlet.operator(intoWindows(context, windows, fields, store, updated));
}

/** Puts a record into each of its windows that is still open, and aside if one was not. */
function intoWindows(
  context: StepContext,
  windows: Windowing,
  fields: readonly Field[],
  store: WindowStore<unknown>,
  updated: (row: number, fresh: boolean, record: AnyRec) => void,
): (record: AnyRec) => void {
  const { sizeMs, advanceMs, graceMs } = windows;
  const { clock } = context;
  const late = context.side('late');
  // The first start of the last record seen: a function of its time alone, so nothing that a rollback could make wrong.
  let cached = Number.NaN;
  return (rec) => {
    const key = keyOf(rec, 'aggregate');
    const { eventTimeMs } = rec;
    if (!(eventTimeMs >= cached + sizeMs - advanceMs && eventTimeMs < cached + sizeMs)) cached = firstStartMs(windows, eventTimeMs);
    let lateWindows = 0;
    for (let startMs = cached; startMs <= eventTimeMs; startMs += advanceMs) {
      const endMs = startMs + sizeMs;
      if (endMs + graceMs <= clock.streamTimeMs) {
        lateWindows++;
        continue;
      }
      let row = store.find(key, startMs);
      const fresh = row === -1;
      if (fresh) row = store.open(key, startMs, endMs, endMs + graceMs);
      store.touch(row);
      if (fresh) initRow(store, row, fields);
      addTo(context, store, row, fields, rec.value, eventTimeMs);
      updated(row, fresh, rec);
    }
    if (lateWindows > 0) {
      context.count('late_windows', lateWindows);
      context.count('late_records');
      late(rec);
    }
  };
}

function initRow(store: WindowStore<unknown>, row: number, fields: readonly Field[]): void {
  const i = store.cells(row);
  const k = store.boxCells(row);
  for (const { aggregator, at, boxAt } of fields) aggregator.init(store.numbers, i + at, store.boxes, k + boxAt);
}

function addTo(
  context: StepContext,
  store: WindowStore<unknown>,
  row: number,
  fields: readonly Field[],
  value: unknown,
  timeMs: number,
): void {
  const { numbers, boxes } = store;
  const i = store.cells(row);
  const k = store.boxCells(row);
  let f = 0;
  try {
    for (; f < fields.length; f++) {
      const field = fields[f] as Field;
      field.aggregator.add(numbers, i + field.at, boxes, k + field.boxAt, value, timeMs);
    }
  } catch (error) {
    if (!(error instanceof BadObservation)) throw error;
    throw new MillraceError('E_RESULT', `aggregate '${context.stepId}', field '${(fields[f] as Field).name}': ${error.message}`, {
      cause: error,
    });
  }
}

function resultOf(store: WindowStore<unknown>, row: number, fields: readonly Field[]): Window {
  const { numbers, boxes } = store;
  const i = store.cells(row);
  const k = store.boxCells(row);
  const result: Record<string, unknown> = { startMs: store.startMs(row), endMs: store.endMs(row) };
  for (const { name, aggregator, at, boxAt } of fields) result[name] = aggregator.result(numbers, i + at, boxes, k + boxAt);
  return result as unknown as Window;
}
