// The one table of commands and settings: flags, variables, config keys and help all derive from it.

/** Every command, in the order help shows them. */
export const COMMANDS = {
  run: {
    form: 'run [PIPELINE…]',
    summary: 'run pipelines: MQTT listener, log, worker, DuckDB',
    args: [0, Number.POSITIVE_INFINITY],
    about: [
      'PIPELINE is a name under pipelines/ (yours, then the ones millrace brings) or a path to a .ts or .js file anywhere.',
      'When everything is ready, one line goes to stdout: millrace ready {"mqtt":…,"http":…,"data":…,"pipelines":[…]}',
      'Ctrl-C stops cleanly; the next run goes on where this one stopped.',
    ],
  },
  query: {
    form: 'query SQL',
    summary: 'ask the running instance a question in SQL',
    args: [1, 1],
    about: ['One SELECT statement, in DuckDB’s SQL. Needs a running instance on the data folder.'],
  },
  read: {
    form: 'read TOPIC',
    summary: 'print the records of a topic as NDJSON',
    args: [1, 1],
    about: [
      'One JSON object a line: topic, partition, offset, key, value, eventTimeMs, headers. Works with and without a running instance.',
    ],
  },
  publish: {
    form: 'publish TOPIC JSON',
    summary: 'publish one MQTT message to the running instance',
    args: [2, 2],
    about: ['TOPIC is an MQTT topic, e.g. city/north/air/s1. With QoS 1 it returns when the log has the message.'],
  },
  topics: { form: 'topics', summary: 'list the topics of the log', args: [0, 0], about: ['Works with and without a running instance.'] },
  describe: {
    form: 'describe PIPELINE',
    summary: 'print what a pipeline is made of',
    args: [1, 1],
    about: ['PIPELINE as in millrace run. Starts nothing.'],
  },
} as const satisfies Record<string, CommandEntry>;

interface CommandEntry {
  readonly form: string;
  readonly summary: string;
  /** Fewest and most positional arguments. */
  readonly args: readonly [number, number];
  readonly about: readonly string[];
}

export type CommandName = keyof typeof COMMANDS;

/** What a setting's value looks like. `size` is bytes with an optional unit; `list` is comma-separated in a variable. */
export type SettingType = 'text' | 'number' | 'whole' | 'port' | 'size' | 'flag' | 'choice' | 'list';

/** One row of the table. */
export interface Setting {
  readonly type: SettingType;
  readonly commands: readonly CommandName[];
  readonly help: string;
  readonly default?: string | number | boolean;
  /** How help names the value. */
  readonly value?: string;
  readonly short?: string;
  /** For `choice`: what may be said, by command. */
  readonly choices?: Partial<Record<CommandName, readonly string[]>>;
  /** `flag`: an argument of one call, neither variable nor config key. `file`: no flag, for the arguments say it. */
  readonly only?: 'flag' | 'file';
  readonly least?: number;
}

const ALL = ['run', 'query', 'read', 'publish', 'topics', 'describe'] as const;
const TABLE_FORMATS = ['table', 'json', 'csv'] as const;
const LEVELS = ['error', 'warn', 'info', 'debug'] as const;

/** Every setting. The name is the config key; `httpPort` is `--http-port` and `MILLRACE_HTTP_PORT`. */
export const SETTINGS = {
  data: { type: 'text', value: 'DIR', default: '.millrace', commands: ALL, help: 'data folder' },
  pipelines: { type: 'list', only: 'file', commands: ['run'], help: 'pipelines to run when the command line names none' },
  mqttPort: { type: 'port', value: 'N', default: 1883, commands: ['run'], help: 'port of the MQTT listener; 0 = any free port' },
  mqttHost: {
    type: 'text',
    value: 'HOST',
    default: '127.0.0.1',
    commands: ['run'],
    help: 'address of the MQTT listener; wider than this machine needs --mqtt-users',
  },
  mqttUsers: { type: 'text', value: 'FILE', commands: ['run'], help: 'who may connect to the MQTT listener' },
  mqttUser: { type: 'text', value: 'NAME', commands: ['run', 'publish'], help: 'who publishes: millrace publish, and --play' },
  mqttPassword: {
    type: 'text',
    only: 'file',
    commands: ['run', 'publish'],
    help: 'the password of --mqtt-user; no flag, for command lines are public',
  },
  httpPort: {
    type: 'port',
    value: 'N',
    default: 8080,
    commands: ['run'],
    help: 'port for health, metrics and queries on 127.0.0.1; 0 = any free port',
  },
  play: { type: 'text', value: 'NAME|FILE', commands: ['run'], help: 'publish a recorded file over MQTT, as the devices would' },
  speed: {
    type: 'number',
    value: 'N',
    default: 3600,
    commands: ['run'],
    help: 'how many times faster than recorded to play; 0 = as fast as it is taken',
    least: 0,
  },
  untilEnd: { type: 'flag', default: false, commands: ['run'], help: 'stop when what is played, or what the log holds, is processed' },
  logMaxSize: {
    type: 'size',
    value: 'SIZE',
    commands: ['run'],
    help: 'most the log may take on disk, e.g. 64GiB (default 16GiB)',
    least: 1_048_576,
  },
  resetStep: {
    type: 'list',
    value: 'ID',
    only: 'flag',
    commands: ['run'],
    help: 'throw this step’s state away, once, as E_STATE_SHAPE proposes',
  },
  logLevel: {
    type: 'choice',
    value: 'LEVEL',
    default: 'info',
    choices: { run: LEVELS },
    commands: ['run'],
    help: 'how much to tell on stderr',
  },
  logFormat: {
    type: 'choice',
    value: 'FORMAT',
    default: 'text',
    choices: { run: ['text', 'json'] },
    commands: ['run'],
    help: 'how to tell it',
  },
  format: {
    type: 'choice',
    value: 'FORMAT',
    only: 'flag',
    choices: { query: TABLE_FORMATS, topics: TABLE_FORMATS, describe: ['text', 'mermaid', 'json'] },
    commands: ['query', 'topics', 'describe'],
    help: 'form of the output; the first is the default',
  },
  from: {
    type: 'text',
    value: 'WHERE',
    default: 'beginning',
    only: 'flag',
    commands: ['read'],
    help: 'beginning, end, an offset, or an ISO 8601 event time',
  },
  partition: { type: 'whole', value: 'N', only: 'flag', commands: ['read'], help: 'only this partition' },
  limit: { type: 'whole', value: 'N', only: 'flag', commands: ['read'], help: 'stop after N records', least: 1 },
  follow: { type: 'flag', default: false, only: 'flag', commands: ['read'], help: 'go on with records as they come' },
  qos: {
    type: 'choice',
    value: '0|1',
    default: '1',
    only: 'flag',
    choices: { publish: ['0', '1'] },
    commands: ['publish'],
    help: 'MQTT quality of service',
  },
  help: { type: 'flag', default: false, only: 'flag', short: 'h', commands: ALL, help: 'show this' },
  version: { type: 'flag', default: false, only: 'flag', short: 'v', commands: ALL, help: 'show the version' },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;

type ValueOf<S extends { readonly type: SettingType }> = S['type'] extends 'number' | 'whole' | 'port' | 'size'
  ? number
  : S['type'] extends 'flag'
    ? boolean
    : S['type'] extends 'list'
      ? readonly string[]
      : string;

/** The resolved values. A setting without a default may be undefined. */
export type Settings = {
  readonly [N in SettingName]: (typeof SETTINGS)[N] extends { readonly default: unknown }
    ? ValueOf<(typeof SETTINGS)[N]>
    : ValueOf<(typeof SETTINGS)[N]> | undefined;
};

/** What a config file may hold: `export default { httpPort: 9000 } satisfies Config`. */
export type Config = {
  readonly [N in SettingName as (typeof SETTINGS)[N] extends { readonly only: 'flag' } ? never : N]?:
    | ValueOf<(typeof SETTINGS)[N]>
    | ((typeof SETTINGS)[N]['type'] extends 'size' ? string : never);
};

/** Variables that are no settings. */
export const OTHER_VARIABLES = {
  MILLRACE_DEBUG: 'when set, errors show their stack',
  MILLRACE_KILL_AT: 'for tests: the point at which the process kills itself',
  MILLRACE_REQUIRE_REAL: 'for tests: a missing real part is a failure, not a skipped test',
} as const;

/** `httpPort` → `--http-port`. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
}

/** `httpPort` → `MILLRACE_HTTP_PORT`. */
export function variableOf(name: string): string {
  return `MILLRACE_${name.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase()}`;
}

/** The rows of the table, typed alike. */
export const settingEntries = Object.entries(SETTINGS) as [SettingName, Setting][];
