// A plan for people: text for the terminal, Mermaid for a page, JSON for tools.
import { formatMs } from './duration.ts';
import { isRekey, type Plan, type PlanNode, rekeyTopic } from './plan.ts';
import type { AnyTopic } from './topic.ts';

/** The forms a plan is printed in. */
export type PlanFormat = 'text' | 'mermaid' | 'json';

/** The plan as text. The same plan always gives the same text, so that it can be kept beside the pipeline and compared. */
export function describePlan(plan: Plan, format: PlanFormat = 'text'): string {
  if (format === 'json') return `${JSON.stringify(asJson(plan), null, 2)}\n`;
  return format === 'mermaid' ? asMermaid(plan) : asText(plan);
}

function labelOf(plan: Plan, { node, name }: PlanNode): string {
  if (node.kind === 'source') return `source ${node.topic.name}${fromOf(node.topic)}`;
  if (node.kind === 'side') return `side '${node.side}'`;
  if (node.kind === 'way') return `way '${node.way}'`;
  if (node.kind === 'fork') return 'branch';
  if (node.kind === 'merge') return 'merge';
  const { kind, id, describe, tables } = node.spec;
  const looksInto = tables === undefined || tables.length === 0 ? '' : ` ⋈ ${tables.map((t) => t.topic.name).join(', ')}`;
  const to = isRekey(node) ? ` → ${rekeyTopic(plan.pipeline, name)}` : '';
  const detail = describe === '' ? '' : `: ${describe}`;
  return `${kind}${id === undefined ? '' : ` ${id}`}${looksInto}${detail}${to}`;
}

function fromOf(topic: AnyTopic): string {
  return topic.from === undefined ? '' : ` ← mqtt ${topic.from.filter}, key ${topic.from.key}`;
}

function outputLabel(plan: Plan, output: Plan['outputs'][number]): string {
  const table = plan.tables.find((t) => t.topic.name === output.topic.name);
  return table === undefined ? `→ topic ${output.topic.name}` : `→ topic ${output.topic.name} → table ${table.table.name}`;
}

function asText(plan: Plan): string {
  const { id, options } = plan.pipeline;
  const lines = [
    `pipeline ${id} v${options.version} · ${options.partitions} partition${options.partitions === 1 ? '' : 's'} · commit every ${formatMs(options.commitEveryMs)}`,
  ];
  const seen = new Set<number>();
  const print = (index: number, depth: number): void => {
    const node = plan.nodes[index] as PlanNode;
    const again = seen.has(index) ? ' (see above)' : '';
    lines.push(`${'  '.repeat(depth)}${labelOf(plan, node)}${again}`);
    if (again !== '' || isRekey(node.node)) return;
    seen.add(index);
    children(index, depth + 1);
  };
  const children = (index: number, depth: number): void => {
    for (const output of plan.outputs) if (output.from === index) lines.push(`${'  '.repeat(depth)}${outputLabel(plan, output)}`);
    for (const child of plan.nodes) if (child.parents.includes(index)) print(child.index, depth);
  };
  for (const segment of plan.segments) {
    lines.push('', `segment ${segment.index + 1}`);
    for (const input of segment.inputs) {
      if (input.kind === 'table')
        lines.push(`  table ${input.topicName}${input.topic?.seed === undefined ? '' : ` ← ${input.topic.seed}`}`);
      else if (input.kind === 'stream') print(input.node, 1);
      else {
        lines.push(`  from ${input.topicName}`);
        children(input.node, 2);
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

function asMermaid(plan: Plan): string {
  const escape = (text: string) => text.replaceAll('"', '#quot;').replaceAll('<', '#lt;').replaceAll('>', '#gt;');
  const lines = ['flowchart LR'];
  for (const segment of plan.segments) {
    lines.push(`  subgraph s${segment.index}["segment ${segment.index + 1}"]`);
    for (const node of segment.nodes)
      lines.push(
        node.node.kind === 'source'
          ? `    n${node.index}[("${escape(labelOf(plan, node))}")]`
          : `    n${node.index}["${escape(labelOf(plan, node))}"]`,
      );
    for (const input of segment.inputs) if (input.kind === 'table') lines.push(`    t${input.index}[("table ${escape(input.topicName)}")]`);
    lines.push('  end');
  }
  for (const node of plan.nodes) for (const parent of node.parents) lines.push(`  n${parent} --> n${node.index}`);
  for (const input of plan.inputs)
    if (input.kind === 'table')
      for (const node of plan.nodes)
        if (
          node.segment === input.segment &&
          node.node.kind === 'step' &&
          node.node.spec.tables?.some((t) => t.topic.name === input.topicName)
        )
          lines.push(`  t${input.index} -.-> n${node.index}`);
  plan.outputs.forEach((output, i) => lines.push(`  n${output.from} --> o${i}>"${escape(outputLabel(plan, output).slice(2))}"]`));
  return `${lines.join('\n')}\n`;
}

function asJson(plan: Plan): object {
  const { id, options } = plan.pipeline;
  return {
    id,
    options,
    segments: plan.segments.map((segment) => ({
      inputs: segment.inputs.map(({ kind, topicName, partitions }) => ({ kind, topic: topicName, partitions })),
      nodes: segment.nodes.map((node) => ({
        index: node.index,
        name: node.name,
        label: labelOf(plan, node),
        parents: node.parents,
        lagMs: node.lagMs,
      })),
    })),
    outputs: plan.outputs.map((output) => ({ from: output.from, topic: output.topic.name, partitions: output.partitions })),
    tables: plan.tables.map(({ topic, table }) => ({ topic: topic.name, ...table })),
    topics: plan.topics.map(({ spec, role }) => ({ role, ...spec, keepMs: Number.isFinite(spec.keepMs) ? spec.keepMs : null })),
  };
}
