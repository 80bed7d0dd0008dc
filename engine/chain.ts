// Turns a segment's part of the graph into RxJS chains, once per task.
import type { Observable } from 'rxjs';
import { Inlet } from './inlet.ts';
import { isRekey, type Plan, type PlanNode, type PlanSegment } from './plan.ts';
import type { AnyRec, StepContext, TableRef } from './step.ts';
import type { KeyValueStore, TableView, Timers, TimersSpec, WindowStore, WindowStoreSpec } from './stores.ts';
import type { Codec } from './topic.ts';

/** What the chains need of the task they run in. */
export interface ChainHost {
  readonly failed: boolean;
  readonly trial: boolean;
  fail(step: string, error: unknown): void;
  emit(output: number, record: AnyRec): void;
  emitRekeyed(node: PlanNode, record: AnyRec): void;
  count(step: string, counter: string, n: number): void;
  /** The step's stream time. Unit: epoch ms. */
  clock(node: PlanNode): { readonly streamTimeMs: number };
  keyValueStore<K, V>(node: PlanNode, name: string, codec?: Codec<V>): KeyValueStore<K, V>;
  windowStore<K>(node: PlanNode, spec: WindowStoreSpec<K>): WindowStore<K>;
  timers<K>(node: PlanNode, spec: TimersSpec<K>): Timers<K>;
  table<K, V>(segment: number, ref: TableRef): TableView<K, V>;
}

/** Where a segment's records enter, by index of the source or rekey node. */
export type Entries = ReadonlyMap<number, Inlet>;

/** Builds and connects the chains of one segment, the last consumers first. */
export function buildChains(host: ChainHost, plan: Plan, segment: PlanSegment): Entries {
  const entries = new Map<number, Inlet>();
  const outs = new Map<string, Observable<AnyRec>>();
  const connects: (() => void)[] = [];

  for (const input of segment.inputs) if (input.node >= 0) entries.set(input.node, new Inlet());

  const outOf = (index: number): Observable<AnyRec> => {
    const node = plan.nodes[index] as PlanNode;
    if (entries.has(index) && (node.segment !== segment.index || node.node.kind === 'source')) return (entries.get(index) as Inlet).stream;
    return outs.get(String(index)) as Observable<AnyRec>;
  };
  /** A node with several consumers hands each record to all of them, always in the same order. */
  const share = (key: string, made: Observable<AnyRec>, consumers: number): void => {
    if (consumers === 1) {
      outs.set(key, made);
      return;
    }
    const inlet = new Inlet();
    connects.push(() => made.subscribe((record) => inlet.next(record)));
    outs.set(key, inlet.stream);
  };

  for (const node of segment.nodes) {
    const consumers = consumersOf(plan, node.index);
    const { node: what } = node;
    if (what.kind === 'step' && !isRekey(what)) {
      const sides = new Map<string, Inlet>();
      const context = contextOf(host, plan, node, sides);
      share(String(node.index), outOf(node.parents[0] as number).pipe(what.spec.build(context)), consumers);
      for (const [side, inlet] of sides) outs.set(`${node.index}/${side}`, inlet.stream);
    } else if (what.kind === 'step') {
      connects.push(() => outOf(node.parents[0] as number).subscribe((record) => rekey(host, node, record)));
    } else if (what.kind === 'side') {
      outs.set(String(node.index), outs.get(`${node.parents[0]}/${what.side}`) ?? new Inlet().stream);
    } else if (what.kind === 'merge') {
      const inlet = new Inlet();
      for (const parent of node.parents) connects.push(() => outOf(parent).subscribe((record) => inlet.next(record)));
      outs.set(String(node.index), inlet.stream);
    } else if (what.kind === 'fork') {
      const ways = new Map([...Object.keys(what.ways), 'rest'].map((way) => [way, new Inlet()]));
      for (const [way, inlet] of ways) outs.set(`${node.index}/${way}`, inlet.stream);
      connects.push(() => outOf(node.parents[0] as number).subscribe((record) => fork(host, node, what.ways, ways, record)));
    } else if (what.kind === 'way') {
      outs.set(String(node.index), outs.get(`${node.parents[0]}/${what.way}`) as Observable<AnyRec>);
    }
  }
  const sinks: (() => void)[] = [];
  plan.outputs.forEach((output, i) => {
    const from = plan.nodes[output.from] as PlanNode;
    if (from.segment === segment.index) sinks.push(() => outOf(output.from).subscribe((record) => host.emit(i, record)));
  });
  for (const connect of [...sinks, ...connects.reverse()]) connect();
  return entries;
}

/** How many chains hang on a node: child nodes in any segment that are not beyond a rekey, and outputs. */
function consumersOf(plan: Plan, index: number): number {
  return (
    plan.nodes.filter((n) => n.parents.includes(index) && n.node.kind !== 'side').length +
    plan.outputs.filter((o) => o.from === index).length
  );
}

function rekey(host: ChainHost, node: PlanNode, record: AnyRec): void {
  if (!host.failed) host.emitRekeyed(node, record);
}

function fork(
  host: ChainHost,
  node: PlanNode,
  ways: Readonly<Record<string, (value: unknown) => boolean>>,
  to: ReadonlyMap<string, Inlet>,
  record: AnyRec,
): void {
  if (host.failed) return;
  try {
    const way = Object.keys(ways).find((name) => ways[name]?.(record.value)) ?? 'rest';
    (to.get(way) as Inlet).next(record);
  } catch (error) {
    host.fail(node.name, error);
  }
}

function contextOf(host: ChainHost, plan: Plan, node: PlanNode, sides: Map<string, Inlet>): StepContext {
  const { name } = node;
  for (const side of node.node.kind === 'step' ? (node.node.spec.sides ?? []) : []) sides.set(side, new Inlet());
  return {
    pipeline: plan.pipeline.id,
    stepId: name,
    clock: host.clock(node),
    get failed() {
      return host.failed;
    },
    get trial() {
      return host.trial;
    },
    fail: (error) => host.fail(name, error),
    keyValueStore: (store, codec) => host.keyValueStore(node, store, codec),
    windowStore: (spec) => host.windowStore(node, spec),
    timers: (spec) => host.timers(node, spec),
    table: (ref) => host.table(node.segment, ref),
    side: (side) => {
      const inlet = sides.get(side);
      return inlet === undefined ? () => {} : (record) => inlet.next(record);
    },
    count: (counter, n = 1) => host.count(name, counter, n),
  };
}
