// Which SQL may run: one SELECT over our tables. Decided on DuckDB's own parse tree, before anything is bound or run.
import type { DuckDBConnection } from '@duckdb/node-api';
import { MillraceError } from '../engine/errors.ts';
import { foldName } from './quoteName.ts';

/** Table functions that read nothing but their arguments. */
const TABLE_FUNCTIONS = new Set(['range', 'generate_series', 'unnest', 'json_each', 'json_tree', 'repeat_row', 'generate_subscripts']);
/** Scalar functions that look outside the tables or leave something behind. */
const DENIED_FUNCTIONS =
  /^(?:write_log|getenv|current_setting|set_config|nextval|currval|setseed|getvariable|query|query_table|json_(?:de)?serialize_\w+|json_execute_\w+|pragma_\w+|read_\w+|parse_duckdb_log_\w+|sleep\w*|pg_sleep)$/;
/** Views of the catalogue that name tables and columns, nothing of the machine. */
const CATALOGUE = new Set(['information_schema.tables', 'information_schema.columns', 'information_schema.schemata']);
/** What DESCRIBE, SUMMARIZE and SHOW TABLES leave in the tree. */
const SHOWN = new Set(['', 'tables', '"tables"', '__show_tables_expanded']);

interface Parsed {
  readonly error: boolean;
  readonly error_type?: string;
  readonly error_message?: string;
  readonly statements?: readonly unknown[];
}

type TreeNode = Readonly<Record<string, unknown>>;

/**
 * Throws unless the text is one statement of type SELECT that names only the tables of this file.
 *
 * Errors  E_QUERY saying what was refused, or where the text does not parse
 */
export async function checkQuery(connection: DuckDBConnection, sql: string): Promise<void> {
  if (sql.includes('\0')) throw refused('there is a NUL character in it');
  const parse = await connection.prepare('SELECT json_serialize_sql($1::VARCHAR)');
  parse.bindVarchar(1, sql);
  const tree = String((await parse.runAndReadAll()).getRows()[0]?.[0]);
  parse.destroySync();
  const parsed = readTree(tree);
  if (parsed.error) {
    // The parser's own message shows the place; asking for it runs nothing.
    if (parsed.error_type === 'parser') await connection.extractStatements(sql);
    if (parsed.error_type !== 'not implemented') throw refused(parsed.error_message ?? 'the statement cannot be read');
    throw refused(
      'only one SELECT statement is allowed: no changes, no COPY, PRAGMA, SET, ATTACH, CALL or EXPLAIN; a PIVOT needs its values in IN (…)',
    );
  }
  const { statements = [] } = parsed;
  if (statements.length !== 1)
    throw refused(statements.length === 0 ? 'there is no statement in it' : `one statement at a time, got ${statements.length}`);
  checkTree(statements[0], await tableNames(connection));
}

/** DuckDB writes a literal beyond a double's range as Infinity, which is no JSON; nobody needs such a literal. */
function readTree(tree: string): Parsed {
  try {
    return JSON.parse(tree) as Parsed;
  } catch {
    throw refused("a number in it is too large for a double; write 'infinity'::DOUBLE if that is meant");
  }
}

/** The result tables and ours, folded. */
async function tableNames(connection: DuckDBConnection): Promise<ReadonlySet<string>> {
  const found = await connection.runAndReadAll(
    "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = 'main' AND NOT temporary",
  );
  return new Set(found.getRows().map(([name]) => foldName(String(name))));
}

function checkTree(tree: unknown, tables: ReadonlySet<string>): void {
  const nodes = nodesOf(tree);
  const ctes = new Set<string>();
  for (const { cte_map } of nodes)
    for (const { key } of (cte_map as { map?: readonly { key: string }[] } | undefined)?.map ?? []) ctes.add(foldName(key));
  for (const node of nodes) {
    // A recursive CTE names itself.
    if (node.type === 'RECURSIVE_CTE_NODE' && typeof node.cte_name === 'string') ctes.add(foldName(node.cte_name));
  }
  for (const node of nodes) {
    if (node.type === 'BASE_TABLE') checkTable(node, tables, ctes);
    else if (node.type === 'TABLE_FUNCTION') checkTableFunction(node.function as TreeNode);
    else if (node.type === 'SHOW_REF' && !SHOWN.has(foldName(String(node.table_name))))
      throw refused(`SHOW ${String(node.table_name)} is not allowed; SHOW TABLES is`);
    else if (node.class === 'FUNCTION' && DENIED_FUNCTIONS.test(foldName(String(node.function_name))))
      throw refused(`the function ${String(node.function_name)} is not allowed`);
  }
}

/** Every object in the tree, without recursion: the text may nest as deep as it likes. */
function nodesOf(tree: unknown): readonly TreeNode[] {
  const nodes: TreeNode[] = [];
  const open: unknown[] = [tree];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    if (!Array.isArray(next)) nodes.push(next as TreeNode);
    for (const value of Object.values(next)) open.push(value);
  }
  return nodes;
}

function checkTable(node: TreeNode, tables: ReadonlySet<string>, ctes: ReadonlySet<string>): void {
  const name = foldName(String(node.table_name));
  const schema = foldName(String(node.schema_name ?? ''));
  if (CATALOGUE.has(`${schema}.${name}`)) return;
  if (schema === '' && ctes.has(name)) return;
  if ((schema === '' || schema === 'main') && tables.has(name)) return;
  const ours = [...tables].filter((table) => !table.startsWith('_millrace_')).sort();
  throw refused(
    `there is no table '${schema === '' ? '' : `${schema}.`}${String(node.table_name)}'; ${ours.length === 0 ? 'there are none yet' : `there are ${ours.join(', ')}`}`,
  );
}

function checkTableFunction(call: TreeNode): void {
  const name = foldName(String(call.function_name));
  const schema = foldName(String(call.schema ?? ''));
  if ((schema === '' || schema === 'main') && TABLE_FUNCTIONS.has(name)) return;
  throw refused(`the table function ${name} is not allowed; there are ${[...TABLE_FUNCTIONS].join(', ')}`);
}

function refused(reason: string): MillraceError {
  return new MillraceError('E_QUERY', reason);
}
