// What the desk follows: a topic and the result table it fills.
import { MillraceError } from '../engine/errors.ts';
import { formatMs } from '../engine/duration.ts';
import type { Plan } from '../engine/plan.ts';
import type { LogPort, TopicSpec } from '../engine/ports.ts';
import type { TableSpec } from '../engine/topic.ts';
import { ALERTS_TABLE } from './systemColumns.ts';

/** All the desk needs of a log: reading what is durable. */
export type LogReader = Pick<LogPort, 'fetch' | 'bounds' | 'listTopics'>;

/** A topic and its table, as plain data. */
export interface DeskTable {
  readonly pipeline: string;
  readonly topic: TopicSpec;
  readonly table: TableSpec;
}

/** The tables of a plan. */
export function deskTablesOf(plan: Plan): readonly DeskTable[] {
  return plan.tables.map(({ topic, table }) => {
    const spec = plan.topics.find((planned) => planned.spec.name === topic.name)?.spec;
    if (spec === undefined) throw new MillraceError('E_ASSERT', `the table '${table.name}' has no topic in the plan`);
    return { pipeline: plan.pipeline.id, topic: spec, table };
  });
}

/** How long the table's rows are held, counted from their arrival in the log. Unit: ms, Infinity for ever. */
export function tableKeepMs({ topic, table }: DeskTable): number {
  if (table.keepMs !== undefined) return table.keepMs;
  return table.rebuild && topic.cleanup === 'delete' ? topic.keepMs : Number.POSITIVE_INFINITY;
}

/**
 * Checks that the tables can live in one file, and that each could be rebuilt from the log.
 *
 * Errors  E_CONFIG when two topics claim one table · E_NOT_REBUILDABLE when a table outlives its topic
 */
export function checkDeskTables(tables: readonly DeskTable[]): void {
  const owners = new Map<string, DeskTable>();
  for (const desk of tables) {
    const { pipeline, topic, table } = desk;
    const other = owners.get(table.name);
    if (other !== undefined && table.name !== ALERTS_TABLE)
      throw new MillraceError(
        'E_CONFIG',
        `the pipelines '${other.pipeline}' and '${pipeline}' both write the table '${table.name}'; give one of them another name`,
      );
    owners.set(table.name, desk);
    if (table.rebuild && topic.cleanup === 'delete' && tableKeepMs(desk) > topic.keepMs)
      throw new MillraceError(
        'E_NOT_REBUILDABLE',
        `table '${table.name}' keeps rows for ${formatMs(tableKeepMs(desk))}, its topic '${topic.name}' for ${formatMs(topic.keepMs)}; older rows would be lost with the file`,
      );
  }
}
