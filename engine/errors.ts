// One error class, one closed list of codes. docs/errors.md is held to this list by a test, both ways.

/** What happens to the process or the record when the error is met. */
export type Disposition = 'drop' | 'retry' | 'stop' | 'assert';

interface CodeEntry {
  readonly disposition: Disposition;
  /** One sentence for the person on call. */
  readonly says: string;
  /** What to do about it. */
  readonly fix: string;
}

/**
 * Every code millrace can raise.
 * drop: the record goes to the dead letters and is counted · retry: pause, back off, resume ·
 * stop: the process says so and exits non-zero · assert: a bug of ours, crash.
 */
export const ERRORS = {
  E_CONFIG: { disposition: 'stop', says: 'A setting, option or argument is not usable.', fix: 'Correct the value the message names.' },
  E_USAGE: {
    disposition: 'stop',
    says: 'The command line is not understood.',
    fix: 'Run millrace --help; the message names the nearest right form.',
  },
  E_PIPELINE: {
    disposition: 'stop',
    says: 'The pipeline definition contradicts itself.',
    fix: 'Correct the step or topic the message names.',
  },
  E_PARTITIONS: {
    disposition: 'stop',
    says: 'A topic has a partition count the pipeline cannot read.',
    fix: 'Give the topic a multiple of the pipeline’s partitions, or read it as a global table, or rekey.',
  },
  E_PARTITIONS_CHANGED: {
    disposition: 'stop',
    says: 'The pipeline’s partition count differs from the one its state was built with.',
    fix: 'Set the old count again, or raise the pipeline’s version to start a new one beside it.',
  },
  E_PARTITIONER: {
    disposition: 'stop',
    says: 'A record lies in a partition that its key does not belong to.',
    fix: 'Let the producer use Kafka’s default partitioner (murmur2), or rekey the topic.',
  },
  E_STATE_SHAPE: {
    disposition: 'stop',
    says: 'A step’s definition changed, and its stored state means something else now.',
    fix: 'Give the step a new id, reset this step, or raise the pipeline’s version.',
  },
  E_SCHEMA: {
    disposition: 'drop',
    says: 'A value does not fit the topic’s schema.',
    fix: 'Look at the dead letter: it holds the raw bytes and the path that failed.',
  },
  E_SCHEMA_ASYNC: {
    disposition: 'stop',
    says: 'A schema validates asynchronously, which a synchronous chain cannot wait for.',
    fix: 'Use a synchronous schema.',
  },
  E_SCHEMA_ONE_WAY: {
    disposition: 'stop',
    says: 'A schema that transforms its input cannot be written with.',
    fix: 'Write to a topic whose schema describes the written form.',
  },
  E_DECODE: {
    disposition: 'drop',
    says: 'The bytes are not what the codec reads.',
    fix: 'Look at the dead letter: it holds the raw bytes.',
  },
  E_CALLBACK: {
    disposition: 'drop',
    says: 'A function in the pipeline file threw.',
    fix: 'Correct the function; the dead letter names the step and holds the raw bytes.',
  },
  E_ASYNC_STEP: {
    disposition: 'drop',
    says: 'A step returned a promise or an RxJS chain that had not completed.',
    fix: 'Keep the chain synchronous; do asynchronous work as a stage of its own that reads and writes a topic.',
  },
  E_NULL_KEY: {
    disposition: 'drop',
    says: 'A record without a key reached a step that keeps state by key.',
    fix: 'Rekey before the step, or give the record a key.',
  },
  E_NULL_VALUE: {
    disposition: 'drop',
    says: 'A record without a value reached a stream; only tables take deletions.',
    fix: 'Read the topic as a table, or do not send empty values.',
  },
  E_EVENT_TIME: {
    disposition: 'drop',
    says: 'A record’s event time is missing, negative or not a time.',
    fix: 'Correct the device’s clock or the eventTime callback of the route.',
  },
  E_CLOCK_SKEW: {
    disposition: 'drop',
    says: 'A record claims a time further ahead of its arrival than skewMs allows.',
    fix: 'Correct the device’s clock, or raise skewMs.',
  },
  E_TOO_LARGE: {
    disposition: 'drop',
    says: 'A record is larger than the log takes.',
    fix: 'Keep a record’s key, value and headers under 900 kB.',
  },
  E_RESULT: {
    disposition: 'drop',
    says: 'A step computed a value that cannot be stored or sent.',
    fix: 'Return a number, string, boolean, bigint, Date, array or plain object.',
  },
  E_ROUTE: {
    disposition: 'drop',
    says: 'A publish matched a route, but its key cannot be built.',
    fix: 'Correct the route’s key template or the topic the device publishes to.',
  },
  E_MQTT_PACKET: {
    disposition: 'drop',
    says: 'A client sent a packet that MQTT or our limits forbid.',
    fix: 'Correct the client; the limit is in the message.',
  },
  E_MQTT_AUTH: {
    disposition: 'stop',
    says: 'The listener may not be opened wider than this machine without a user file.',
    fix: 'Give --mqtt-users FILE, or keep the host 127.0.0.1.',
  },
  E_UNKNOWN_TOPIC: { disposition: 'stop', says: 'There is no such topic.', fix: 'millrace topics lists what there is.' },
  E_TOPIC_CONFLICT: {
    disposition: 'stop',
    says: 'A topic is declared in two ways, or differently from what the log holds.',
    fix: 'Make the declarations agree, or use another name.',
  },
  E_OFFSET_OUT_OF_RANGE: {
    disposition: 'stop',
    says: 'A position lies outside what the log still holds.',
    fix: 'Nothing is skipped silently: rebuild the reader from the beginning, or restore the log.',
  },
  E_CORRUPT: {
    disposition: 'stop',
    says: 'Stored bytes fail their checksum.',
    fix: 'Restore the data folder from a backup; the message names the range.',
  },
  E_LOG_WENT_BACK: {
    disposition: 'stop',
    says: 'DuckDB is ahead of the log: the log was restored or replaced.',
    fix: 'The result tables are rebuilt from the log; nothing to do unless the log was replaced by mistake.',
  },
  E_LOG_FULL: {
    disposition: 'retry',
    says: 'The log is at its size limit; publishes are not acknowledged.',
    fix: 'Raise --log-max-size, or shorten what topics keep.',
  },
  E_FLUSH: {
    disposition: 'stop',
    says: 'The disk refused to make a commit durable.',
    fix: 'Check the disk; restart afterwards: everything acknowledged is in the log.',
  },
  E_LOCKED: {
    disposition: 'stop',
    says: 'Another millrace writes this data folder.',
    fix: 'Stop the other process, or use another --data folder.',
  },
  E_NOT_RUNNING: { disposition: 'stop', says: 'No millrace runs on this data folder.', fix: 'Start one with millrace run.' },
  E_QUERY: { disposition: 'stop', says: 'The query was refused or failed.', fix: 'Correct the SQL; one SELECT statement is allowed.' },
  E_COLUMN: {
    disposition: 'drop',
    says: 'A value does not fit its column.',
    fix: 'Set the column’s type in duckdb(…, { columns }), or correct the value.',
  },
  E_NOT_REBUILDABLE: {
    disposition: 'stop',
    says: 'A table keeps rows longer than the log it would be rebuilt from.',
    fix: 'Lengthen the topic’s keep, shorten the table’s, or accept it with rebuild: false.',
  },
  E_SEED: {
    disposition: 'stop',
    says: 'A seed file cannot be read into its table.',
    fix: 'Correct the file; the message names line and column.',
  },
  E_PLAY: { disposition: 'stop', says: 'A file cannot be played.', fix: 'Correct the file; the message names the line.' },
  E_FENCED: {
    disposition: 'stop',
    says: 'Another process took this task over.',
    fix: 'Nothing is lost; let only one process write the data folder.',
  },
  E_ASSERT: {
    disposition: 'assert',
    says: 'Something that must be true was not: a bug in millrace.',
    fix: 'Report it with the message; the log is intact and a restart resumes from the last commit.',
  },
} as const satisfies Record<string, CodeEntry>;

/** A code out of the closed list {@link ERRORS}. */
export type ErrorCode = keyof typeof ERRORS;

/** The one error class. The message says what was passed, where, and what was probably meant. */
export class MillraceError extends Error {
  override readonly name = 'MillraceError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
  }

  /** Also true of an error that another copy of millrace made: a pipeline file may bring its own, and its codes mean the same. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === 'MillraceError' && 'code' in value && Object.hasOwn(ERRORS, String(value.code));
  }

  get disposition(): Disposition {
    return ERRORS[this.code].disposition;
  }

  get fix(): string {
    return ERRORS[this.code].fix;
  }
}

/** Throws E_ASSERT unless `condition` holds. For what must be true, never for input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new MillraceError('E_ASSERT', message);
}

/** The code of an error: its own if it is ours, else E_CALLBACK, for it came out of a user's function. */
export function codeOf(error: unknown): ErrorCode {
  return error instanceof MillraceError ? error.code : 'E_CALLBACK';
}

/** One line about anything that was thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  try {
    return String(error);
  } catch {
    return 'a value that cannot be printed';
  }
}
