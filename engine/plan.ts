// The pipeline's graph, checked and cut into segments: what tasks are built from and what people see.
import { DEAD_LETTER_TOPIC } from './deadLetter.ts';
import { MillraceError } from './errors.ts';
import { ID, type Pipeline } from './pipeline.ts';
import type { TopicSpec } from './ports.ts';
import type { StepSpec } from './step.ts';
import type { Node } from './stream.ts';
import { type AnyTopic, checkTopicName, type TableSpec } from './topic.ts';

/** Sources are kept for a week, results for a quarter, unless the topic says otherwise. */
const SOURCE_KEEP_MS = 7 * 86_400_000;
const RESULT_KEEP_MS = 90 * 86_400_000;

/** What a topic is to the pipeline. */
export type TopicRole = 'source' | 'table' | 'result' | 'rekey' | 'journal' | 'deadLetters';

/** A topic the log must hold before the pipeline runs. */
export interface PlannedTopic {
  readonly spec: TopicSpec;
  readonly role: TopicRole;
  /** Absent for internal topics. */
  readonly topic?: AnyTopic;
}

/** A node of the graph in its place. Parents come before children. */
export interface PlanNode {
  readonly index: number;
  readonly node: Node;
  readonly segment: number;
  readonly parents: readonly number[];
  /** Step id, or a name made of kind and place. */
  readonly name: string;
  /** Grace above this node: how much later than the segment it sees time. Unit: ms. */
  readonly lagMs: number;
}

/** What a segment reads. A rekey input carries marks, and time comes from them; tables carry no time. */
export interface PlanInput {
  readonly index: number;
  readonly kind: 'stream' | 'table' | 'rekey';
  readonly segment: number;
  readonly topicName: string;
  /** Partitions of the topic; a multiple of the pipeline's. */
  readonly partitions: number;
  readonly topic: AnyTopic | undefined;
  /** Index of the node the records enter at; -1 for tables. */
  readonly node: number;
}

/** A connected part of the graph: what is read and done under one clock. */
export interface PlanSegment {
  readonly index: number;
  readonly inputs: readonly PlanInput[];
  readonly nodes: readonly PlanNode[];
  /** Rekey nodes this segment writes to. */
  readonly rekeys: readonly PlanNode[];
}

/** Where records leave the pipeline. */
export interface PlanOutput {
  /** Index of the node whose records go out. */
  readonly from: number;
  readonly topic: AnyTopic;
  readonly partitions: number;
}

/** A DuckDB table and the topic it follows. */
export interface PlannedTable {
  readonly topic: AnyTopic;
  readonly table: TableSpec;
}

/** A pipeline checked and laid out: all that is needed to run it. */
export interface Plan {
  readonly pipeline: Pipeline;
  /** Upstream first. */
  readonly segments: readonly PlanSegment[];
  readonly nodes: readonly PlanNode[];
  readonly inputs: readonly PlanInput[];
  readonly outputs: readonly PlanOutput[];
  readonly topics: readonly PlannedTopic[];
  readonly tables: readonly PlannedTable[];
  readonly journalTopic: string;
}

/** The internal topic behind a rekey. */
export function rekeyTopic(pipeline: Pipeline, stepId: string): string {
  return `${pipeline.id}.v${pipeline.options.version}.rekey.${stepId}`;
}

/** The name under which a pipeline's tasks are claimed and committed. */
export function taskGroup(pipeline: Pipeline): string {
  return `${pipeline.id}.v${pipeline.options.version}`;
}

/**
 * Checks a pipeline's graph and lays it out.
 *
 * Errors  E_PIPELINE (duplicate or malformed ids, cycles, missing codecs), E_PARTITIONS, E_TOPIC_CONFLICT
 */
export function planOf(pipeline: Pipeline): Plan {
  const ends = new Map(pipeline.outputs.map((output) => [output, readable(output.from)]));
  const order = topologicalOrder([...ends.values()]);
  const names = nameSteps(pipeline, order);
  const segmentOf = segmentsOf(order);
  const { nodes, indexOf } = placeNodes(order, names, segmentOf);
  const inputs = inputsOf(pipeline, nodes);
  const outputs: PlanOutput[] = [];
  const tables: PlannedTable[] = [];
  for (const output of pipeline.outputs) {
    const { topic, table } = output.target.resolve(pipeline.id);
    outputs.push({
      from: indexOf.get(canonical(ends.get(output) as Node)) as number,
      topic,
      partitions: topic.partitions ?? pipeline.options.partitions,
    });
    if (table === undefined) continue;
    const known = tables.find((t) => t.topic.name === topic.name);
    if (known === undefined) tables.push({ topic, table });
    else if (JSON.stringify(known.table) !== JSON.stringify(table))
      throw new MillraceError(
        'E_TOPIC_CONFLICT',
        `pipeline '${pipeline.id}' writes to table '${table.name}' with two different sets of options; declare it once and use that value`,
      );
  }
  checkNoCycle(pipeline, inputs, outputs);
  const count = Math.max(...nodes.map((n) => n.segment)) + 1;
  const segments = Array.from({ length: count }, (_, index) => ({
    index,
    inputs: inputs.filter((i) => i.segment === index),
    nodes: nodes.filter((n) => n.segment === index),
    rekeys: nodes.filter((n) => n.segment === index && isRekey(n.node)),
  }));
  const journalTopic = `${taskGroup(pipeline)}.journal`;
  const topics = topicsOf(pipeline, inputs, outputs, journalTopic);
  return Object.freeze({ pipeline, segments, nodes, inputs, outputs, topics, tables, journalTopic });
}

/** Whether a node is a rekey, which ends its segment. */
export function isRekey(node: Node): node is Node & { kind: 'step' } {
  return node.kind === 'step' && node.spec.rekey !== undefined;
}

function parentsOf(node: Node): readonly Node[] {
  if (node.kind === 'source') return [];
  return node.kind === 'merge' ? node.from : [node.from];
}

/** `stream(t)` called twice reads the same topic once: the first node stands for both. Set up by topologicalOrder. */
const canonicalOf = new WeakMap<Node, Node>();
function canonical(node: Node): Node {
  return canonicalOf.get(node) ?? node;
}

/** What comes straight out of a rekey is read on its far side, so that side needs a node to stand on. */
function readable(from: Node): Node {
  return isRekey(from) ? Object.freeze({ kind: 'merge', from: Object.freeze([from]) }) : from;
}

function topologicalOrder(ends: readonly Node[]): Node[] {
  const order: Node[] = [];
  const state = new Map<Node, 'open' | 'done'>();
  const sources = new Map<string, Node & { kind: 'source' }>();
  const visit = (node: Node): void => {
    if (state.get(node) === 'done') return;
    if (state.get(node) === 'open') throw new MillraceError('E_PIPELINE', `the graph has a cycle through a ${node.kind}`);
    if (node.kind === 'source') {
      const known = sources.get(node.topic.name);
      if (known !== undefined && known !== node) {
        if (known.topic !== node.topic) throw conflict(node.topic.name);
        canonicalOf.set(node, known);
        return;
      }
      sources.set(node.topic.name, node);
    }
    state.set(node, 'open');
    parentsOf(node).forEach(visit);
    state.set(node, 'done');
    order.push(node);
  };
  ends.forEach(visit);
  return order;
}

function conflict(name: string): MillraceError {
  return new MillraceError(
    'E_TOPIC_CONFLICT',
    `topic '${name}' is declared twice in this pipeline; declare it once and use that value everywhere`,
  );
}

/** A name per node. Ids given by the user must be unique; nodes without one are named by kind and place. */
function nameSteps(pipeline: Pipeline, order: readonly Node[]): Map<Node, string> {
  const names = new Map<Node, string>();
  const taken = new Set<string>();
  const perKind = new Map<string, number>();
  for (const node of order) {
    const kind = node.kind === 'step' ? node.spec.kind : node.kind;
    const n = (perKind.get(kind) ?? 0) + 1;
    perKind.set(kind, n);
    const id = node.kind === 'step' ? node.spec.id : undefined;
    if (id === undefined) {
      names.set(node, `${kind}#${n}`);
      continue;
    }
    if (typeof id !== 'string' || !ID.test(id) || id.length > 60)
      throw new MillraceError('E_PIPELINE', `pipeline '${pipeline.id}': ${kind} id '${String(id)}': use kebab-case, at most 60 characters`);
    if (taken.has(id))
      throw new MillraceError(
        'E_PIPELINE',
        `pipeline '${pipeline.id}': the id '${id}' is used twice; ids name stored state, so give one ${kind} another`,
      );
    taken.add(id);
    names.set(node, id);
  }
  return names;
}

/** Connected parts of the graph once every rekey is cut: numbered upstream first. */
function segmentsOf(order: readonly Node[]): Map<Node, number> {
  const boss = new Map<Node, Node>();
  const find = (node: Node): Node => {
    let at = node;
    while (boss.get(at) !== undefined && boss.get(at) !== at) at = boss.get(at) as Node;
    return at;
  };
  // Behind a rekey stands its reading side: all its consumers meet there.
  const readers = new Map<Node, Node>();
  for (const node of order) {
    boss.set(node, node);
    for (const parent of parentsOf(node).map(canonical)) {
      if (!isRekey(parent)) boss.set(find(node), find(parent));
      else {
        const met = readers.get(parent);
        if (met === undefined) readers.set(parent, node);
        else boss.set(find(node), find(met));
      }
    }
  }
  // Depth: how many rekeys lie above. Every segment gets the largest depth of its nodes, and numbers follow depth.
  const depth = new Map<Node, number>();
  for (let pass = 0; pass < order.length; pass++) {
    let moved = false;
    for (const node of order) {
      const own = find(node);
      for (const parent of parentsOf(node).map(canonical)) {
        const above = (depth.get(find(parent)) ?? 0) + (isRekey(parent) ? 1 : 0);
        if (isRekey(parent) && find(parent) === own)
          throw new MillraceError(
            'E_PIPELINE',
            'a stream is merged with its own rekeyed form: time could never move; give the rekeyed part a sink of its own',
          );
        if (above > (depth.get(own) ?? 0)) {
          depth.set(own, above);
          moved = true;
        }
      }
    }
    if (!moved) break;
  }
  const bosses = [...new Set(order.map(find))].sort((a, b) => (depth.get(a) ?? 0) - (depth.get(b) ?? 0));
  return new Map(order.map((node) => [node, bosses.indexOf(find(node))]));
}

function placeNodes(order: readonly Node[], names: Map<Node, string>, segmentOf: Map<Node, number>) {
  const nodes: PlanNode[] = [];
  const indexOf = new Map<Node, number>();
  for (const node of order) {
    const parents = parentsOf(node).map((parent) => indexOf.get(canonical(parent)) as number);
    // Grace adds up along a path: a window below a window waits for both. Behind a rekey it starts again, for marks took it off.
    const lagMs = Math.max(
      0,
      ...parents.map((p) => {
        const parent = nodes[p] as PlanNode;
        return isRekey(parent.node) ? 0 : parent.lagMs + resultLagMs(parent.node);
      }),
    );
    indexOf.set(node, nodes.length);
    nodes.push({ index: nodes.length, node, segment: segmentOf.get(node) as number, parents, name: names.get(node) as string, lagMs });
  }
  return { nodes, indexOf };
}

/** How far behind its step's clock a step's results may lie: a window closes at end + grace and its result carries end − 1 ms. */
export function resultLagMs(node: Node): number {
  return node.kind === 'step' && node.spec.graceMs !== undefined ? node.spec.graceMs + 1 : 0;
}

function inputsOf(pipeline: Pipeline, nodes: readonly PlanNode[]): PlanInput[] {
  const inputs: PlanInput[] = [];
  const add = (input: Omit<PlanInput, 'index'>) => inputs.push({ index: inputs.length, ...input });
  const read = new Map<string, { topic: AnyTopic; as: string }>();
  for (const { node, index, segment, name } of nodes) {
    if (node.kind === 'source') {
      add({
        kind: 'stream',
        segment,
        topicName: node.topic.name,
        partitions: checkedPartitions(pipeline, node.topic),
        topic: node.topic,
        node: index,
      });
      read.set(node.topic.name, { topic: node.topic, as: 'stream' });
    }
    if (isRekey(node)) {
      const reader = nodes.find((n) => n.parents.includes(index));
      if (reader !== undefined)
        add({
          kind: 'rekey',
          segment: reader.segment,
          topicName: rekeyTopic(pipeline, name),
          partitions: pipeline.options.partitions,
          topic: undefined,
          node: index,
        });
    }
  }
  for (const { node, segment } of nodes) {
    if (node.kind !== 'step') continue;
    for (const ref of tablesOf(node.spec)) {
      const known = read.get(ref.name);
      if (known !== undefined && known.topic !== ref) throw conflict(ref.name);
      if (known?.as === 'stream')
        throw new MillraceError(
          'E_PIPELINE',
          `pipeline '${pipeline.id}': topic '${ref.name}' is read both as a stream and as a table; use two topics`,
        );
      read.set(ref.name, { topic: ref, as: 'table' });
      if (inputs.some((i) => i.kind === 'table' && i.segment === segment && i.topicName === ref.name)) continue;
      add({ kind: 'table', segment, topicName: ref.name, partitions: checkedPartitions(pipeline, ref), topic: ref, node: -1 });
    }
  }
  return inputs;
}

function tablesOf(spec: StepSpec): AnyTopic[] {
  return (spec.tables ?? []).map((t) => t.topic as AnyTopic);
}

function checkedPartitions(pipeline: Pipeline, topic: AnyTopic): number {
  const partitions = topic.partitions ?? pipeline.options.partitions;
  if (partitions % pipeline.options.partitions !== 0)
    throw new MillraceError(
      'E_PARTITIONS',
      `topic '${topic.name}' has ${partitions} partitions, pipeline '${pipeline.id}' has ${pipeline.options.partitions}: the topic's count must be a multiple of the pipeline's`,
    );
  return partitions;
}

function checkNoCycle(pipeline: Pipeline, inputs: readonly PlanInput[], outputs: readonly PlanOutput[]): void {
  for (const { topic } of outputs)
    if (inputs.some((i) => i.topicName === topic.name))
      throw new MillraceError(
        'E_PIPELINE',
        `pipeline '${pipeline.id}' writes to '${topic.name}', which it also reads: a cycle; write to another topic`,
      );
}

function topicsOf(pipeline: Pipeline, inputs: readonly PlanInput[], outputs: readonly PlanOutput[], journalTopic: string): PlannedTopic[] {
  const found = new Map<string, PlannedTopic>();
  const add = (role: TopicRole, name: string, partitions: number, keepMs: number, topic?: AnyTopic) => {
    if (topic !== undefined) checkCodecs(pipeline, topic);
    checkTopicName(name);
    const known = found.get(name);
    if (known?.topic !== undefined && topic !== undefined && known.topic !== topic && known.role === role && role !== 'result')
      throw conflict(name);
    if (known !== undefined) return;
    const spec: TopicSpec = { name, partitions, cleanup: topic?.compact ? 'compact' : 'delete', keepMs: topic?.keepMs ?? keepMs };
    found.set(name, topic === undefined ? { spec, role } : { spec, role, topic });
  };
  for (const { kind, topicName, partitions, topic } of inputs) {
    if (kind === 'rekey') add('rekey', topicName, partitions, Number.POSITIVE_INFINITY);
    else add(kind === 'table' ? 'table' : 'source', topicName, partitions, SOURCE_KEEP_MS, topic);
  }
  for (const { topic, partitions } of outputs) add('result', topic.name, partitions, RESULT_KEEP_MS, topic);
  add('journal', journalTopic, pipeline.options.partitions, SOURCE_KEEP_MS);
  add('deadLetters', DEAD_LETTER_TOPIC, 1, RESULT_KEEP_MS);
  return [...found.values()];
}

function checkCodecs(pipeline: Pipeline, topic: AnyTopic): void {
  for (const [what, codec] of [
    ['value', topic.codec],
    ['key', topic.keyCodec],
  ] as const)
    if (typeof codec?.encode !== 'function' || typeof codec?.decode !== 'function')
      throw new MillraceError(
        'E_PIPELINE',
        `pipeline '${pipeline.id}': topic '${topic.name}' has no ${what} codec; e.g. topic('${topic.name}', json(schema))`,
      );
}
