// What the supervisor and its children say to each other over IPC. Plain JSON values only.
import type { ErrorCode } from '../engine/errors.ts';
import type { RecordPlace } from './takingFile.ts';

/** The children `millrace run` has. */
export type Role = 'line' | 'desk';

/** Where something listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What both roles need. Paths are absolute. */
interface Common {
  /** The data folder. */
  readonly dir: string;
  /** Pipeline files, as found by findPipeline. */
  readonly pipelines: readonly string[];
  /** What paths that people wrote are relative to. */
  readonly cwd: string;
  readonly logLevel: string;
  readonly logFormat: string;
}

export interface LineSettings extends Common {
  readonly mqtt: Address;
  /** True when nobody asked for this port: if it is taken, use another and say so. */
  readonly mqttPortMayMove: boolean;
  readonly mqttUsers: string | undefined;
  /** Who the player connects as, when there is a user file. */
  readonly mqttUser: string | undefined;
  readonly mqttPassword: string | undefined;
  readonly play: string | undefined;
  readonly speed: number;
  readonly untilEnd: boolean;
  readonly logMaxSizeBytes: number | undefined;
  /** Steps whose state is thrown away; empty once the line was ready, for a restart must not do it again. */
  readonly resetSteps: readonly string[];
  /** The line before hung: write down each record before it is taken. */
  readonly findHang: boolean;
  /** Records that hung the line three times: to the dead letters with them, unprocessed. */
  readonly skip: readonly RecordPlace[];
}

export interface DeskSettings extends Common {
  readonly http: Address;
  /** True when nobody asked for this port: if it is taken, use another and say so. */
  readonly httpPortMayMove: boolean;
}

/** Supervisor → child. */
export type ToChild<Settings = LineSettings | DeskSettings> =
  /** Always first, once. */
  | { readonly kind: 'start'; readonly settings: Settings }
  /** Desk only: the line's metrics in Prometheus' text form, each second. */
  | { readonly kind: 'metrics'; readonly text: string }
  /** Desk only: the line has finished. Read the log to its end, flush, then say `drained`. */
  | { readonly kind: 'drain' }
  /** Stop cleanly and exit with 0. */
  | { readonly kind: 'stop' };

/** Child → supervisor. */
export type FromChild =
  /** Line: mqtt, the pipelines' ids, their result tables. Desk: http. */
  | {
      readonly kind: 'ready';
      readonly mqtt?: Address;
      readonly http?: Address;
      readonly pipelines?: readonly string[];
      readonly tables?: readonly string[];
    }
  /** The event loop turns. Sent by a timer, so a slice that hangs is silent. */
  | { readonly kind: 'heartbeat' }
  /** Line only: its metrics in Prometheus' text form. */
  | { readonly kind: 'metrics'; readonly text: string }
  /** Line only, --until-end: everything is processed, committed and durable. */
  | { readonly kind: 'finished' }
  /** Desk only: the answer to `drain`. */
  | { readonly kind: 'drained' }
  /** The child cannot go on and exits with 1. */
  | { readonly kind: 'failed'; readonly code: ErrorCode | undefined; readonly message: string; readonly fix: string | undefined };

/** `ports.json` in the data folder, and the JSON of the line `millrace ready`. */
export interface RunningInfo {
  readonly mqtt: Address;
  readonly http: Address;
  /** The data folder, absolute. */
  readonly data: string;
  /** Ids of the pipelines. */
  readonly pipelines: readonly string[];
  /** Result tables of the pipelines. */
  readonly tables: readonly string[];
  /** Of the supervisor. */
  readonly pid: number;
}
