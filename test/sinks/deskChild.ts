// A process for the kill tests: fills the tables of a data folder from its log, until it is killed or all is in.
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { openEmbeddedReader } from '../../log/embedded/embeddedReader.ts';
import { killPointFrom } from '../../runtime/killPoint.ts';
import { deskMetrics } from '../../sinks/deskMetrics.ts';
import type { DeskTable } from '../../sinks/deskTable.ts';
import { startDuckdbWriter } from '../../sinks/duckdbWriter.ts';

const [dir, tables] = process.argv.slice(2) as [string, string];
const reader = await openEmbeddedReader({ dir });
const writer = startDuckdbWriter({
  path: join(dir, 'results.duckdb'),
  tables: JSON.parse(tables) as DeskTable[],
  reader,
  metrics: deskMetrics(new Registry()),
  tell: (line) => process.stderr.write(`${line}\n`),
  rowsMax: 150,
  flushMs: 5,
  onPoint: killPointFrom(process.env),
});
await writer.opened;
process.stdout.write('open\n');
await writer.drain();
await writer.stop();
await reader.close();
process.stdout.write('done\n');
process.exit(0);
