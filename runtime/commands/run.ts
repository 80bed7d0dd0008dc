// millrace run: starts everything, says when it is ready and where to look, stops on Ctrl-C.
import { relative } from 'node:path';
import { MillraceError } from '../../engine/errors.ts';
import { type Command, type CommandCall, print, tell } from '../command.ts';
import { pipelineNames } from '../loadPipeline.ts';
import { makeLogger } from '../logger.ts';
import type { RunningInfo } from '../messages.ts';
import { beginMillrace, type StartingMillrace } from '../startMillrace.ts';

/** npm passes Ctrl-C on to a process that the terminal has told already: a signal this soon after the first is the same one. */
const SAME_SIGNAL_MS = 500;

/** Runs pipelines until they end or somebody stops them. */
export const run: Command = async (call) => {
  const { values, given, cwd, data } = call;
  const logger = makeLogger({ role: 'millrace', level: values.logLevel as string, format: values.logFormat as string });
  const explicit = <N extends 'mqttPort' | 'httpPort'>(name: N) => (given.has(name) ? values[name] : undefined);
  // Heard from the first moment on: a start takes a second or two.
  const stop = stopOnSignals(() => millrace);
  const millrace: StartingMillrace = beginMillrace({
    ...values,
    logLevel: values.logLevel as 'info',
    logFormat: values.logFormat as 'text',
    logMaxSizeBytes: values.logMaxSize,
    resetSteps: values.resetStep,
    pipelines: pipelinesOf(call),
    data,
    cwd,
    mqttPort: explicit('mqttPort'),
    httpPort: explicit('httpPort'),
    tell: (line) => logger.warn(line),
  });
  const info = await millrace.ready.catch((error: Error) => {
    if (!stop.isAsked()) throw error;
  });
  // Stopped while it was starting, as somebody wished.
  if (info === undefined) return 0;
  const { mqtt, http, data: dir, pipelines } = info;
  await print(`millrace ready ${JSON.stringify({ mqtt, http, data: dir, pipelines })}\n`);
  if (values.logFormat === 'text' && values.logLevel !== 'error') whereToLook(info, call);
  await millrace.ended;
  return 0;
};

function pipelinesOf({ args, values, cwd }: CommandCall): readonly string[] {
  if (args.length > 0) return args;
  if (values.pipelines !== undefined && values.pipelines.length > 0) return values.pipelines;
  const names = pipelineNames(cwd);
  const there = names.length === 0 ? 'there are none under pipelines/' : `there are ${names.join(', ')}`;
  throw new MillraceError('E_USAGE', `millrace run needs a pipeline: a name (${there}) or a path to a .ts or .js file`);
}

/** What to type next. For people, so on stderr. */
function whereToLook({ http, mqtt, tables }: RunningInfo, { data, cwd, given }: CommandCall): void {
  const folder = relative(cwd, data) || '.';
  const where = given.has('data') ? ` --data ${/^[\w./-]+$/.test(folder) ? folder : JSON.stringify(folder)}` : '';
  const table = tables[0];
  if (table !== undefined) tell(`  results   npx millrace query${where} "SELECT * FROM ${table} LIMIT 5"`);
  tell(`  records   npx millrace topics${where}; npx millrace read TOPIC${where} --follow`);
  tell(`  devices   mqtt://${mqtt.host}:${mqtt.port}`);
  tell(`  metrics   http://${http.host}:${http.port}/metrics`);
  tell('  stop      Ctrl-C');
}

/** The first signal stops cleanly, the second kills. */
function stopOnSignals(millrace: () => StartingMillrace): { isAsked(): boolean } {
  let firstMs: number | undefined;
  const onSignal = (): void => {
    const now = performance.now();
    if (firstMs === undefined) {
      firstMs = now;
      tell('stopping; once more to kill');
      void millrace().stop();
    } else if (now - firstMs > SAME_SIGNAL_MS) {
      millrace().kill();
      process.exit(1);
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.on('SIGHUP', onSignal);
  return { isAsked: () => firstMs !== undefined };
}
