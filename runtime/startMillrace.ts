// Starts a whole millrace, line and desk as child processes: what `millrace run` does, for the command and for other programs.
import { resolve } from 'node:path';
import { MillraceError } from '../engine/errors.ts';
import { SETTINGS } from './config.ts';
import { findPipeline } from './loadPipeline.ts';
import type { RunningInfo } from './messages.ts';
import { supervise } from './supervisor.ts';

/** What may be said about a run; the same settings, meanings and defaults as the flags of `millrace run`. */
export interface MillraceOptions {
  /** Names under pipelines/, or paths to .ts or .js files. */
  readonly pipelines: readonly string[];
  /** Relative to cwd. Default: .millrace */
  readonly data?: string | undefined;
  /** Default 1883, or any free port when that is taken; a port given here must be free. 0: any free port. */
  readonly mqttPort?: number | undefined;
  readonly mqttHost?: string | undefined;
  readonly mqttUsers?: string | undefined;
  readonly mqttUser?: string | undefined;
  readonly mqttPassword?: string | undefined;
  /** Default 8080, or any free port when that is taken; a port given here must be free. 0: any free port. */
  readonly httpPort?: number | undefined;
  readonly play?: string | undefined;
  readonly speed?: number | undefined;
  readonly untilEnd?: boolean | undefined;
  readonly logMaxSizeBytes?: number | undefined;
  /** Ids of steps whose state is thrown away at this start. */
  readonly resetSteps?: readonly string[] | undefined;
  readonly logLevel?: 'error' | 'warn' | 'info' | 'debug' | undefined;
  readonly logFormat?: 'text' | 'json' | undefined;
  /** What paths are relative to. Default: the process's working folder. */
  readonly cwd?: string | undefined;
  /** Hears what people should know, one line at a time. Default: stderr. */
  readonly tell?: ((line: string) => void) | undefined;
}

/** A millrace that runs. */
export interface Millrace {
  readonly info: RunningInfo;
  /** Resolves when the run is over, by stop() or untilEnd; rejects when it failed. */
  readonly ended: Promise<void>;
  /** Stops cleanly, within 5 s. */
  stop(): Promise<void>;
  /** Ends at once; nothing acknowledged is lost. */
  kill(): void;
}

/** A millrace that is being started: what can be done before it is ready. */
export interface StartingMillrace {
  readonly ready: Promise<RunningInfo>;
  readonly ended: Promise<void>;
  stop(): Promise<void>;
  kill(): void;
}

/**
 * Starts line and desk on a data folder and resolves when both are ready.
 *
 * Errors  E_USAGE for a pipeline that cannot be found, E_LOCKED when another run has the folder, and whatever stops a start
 * @example  const millrace = await startMillrace({ pipelines: ['./mine.ts'], data: 'data' });
 *           await millrace.stop();
 */
export async function startMillrace(options: MillraceOptions): Promise<Millrace> {
  const starting = beginMillrace(options);
  const info = await starting.ready;
  return { info, ended: starting.ended, stop: () => starting.stop(), kill: () => starting.kill() };
}

/** The same without waiting, so that a start can be stopped. Errors: E_USAGE, E_CONFIG */
export function beginMillrace(options: MillraceOptions): StartingMillrace {
  const cwd = options.cwd ?? process.cwd();
  if (options.pipelines.length === 0) throw new MillraceError('E_USAGE', 'no pipeline was named');
  const common = {
    cwd: resolve(cwd),
    dir: resolve(cwd, options.data ?? SETTINGS.data.default),
    pipelines: options.pipelines.map((name) => findPipeline(name, cwd)),
    logLevel: options.logLevel ?? SETTINGS.logLevel.default,
    logFormat: options.logFormat ?? SETTINGS.logFormat.default,
  };
  return supervise({
    tell: options.tell ?? ((line) => process.stderr.write(`${line}\n`)),
    line: {
      ...common,
      mqtt: { host: options.mqttHost ?? SETTINGS.mqttHost.default, port: options.mqttPort ?? SETTINGS.mqttPort.default },
      mqttPortMayMove: options.mqttPort === undefined,
      mqttUsers: options.mqttUsers === undefined ? undefined : resolve(cwd, options.mqttUsers),
      mqttUser: options.mqttUser,
      mqttPassword: options.mqttPassword,
      play: options.play,
      speed: options.speed ?? SETTINGS.speed.default,
      untilEnd: options.untilEnd ?? false,
      logMaxSizeBytes: options.logMaxSizeBytes,
      resetSteps: options.resetSteps ?? [],
      findHang: false,
      skip: [],
    },
    desk: {
      ...common,
      http: { host: '127.0.0.1', port: options.httpPort ?? SETTINGS.httpPort.default },
      httpPortMayMove: options.httpPort === undefined,
    },
  });
}
