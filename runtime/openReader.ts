// Opens the log of a data folder for reading, with a clear word when there is none.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MillraceError } from '../engine/errors.ts';
import type { TopicInfo } from '../engine/ports.ts';
import { type LogReader, openEmbeddedReader } from '../log/embedded/embeddedReader.ts';
import { didYouMean } from './nearest.ts';

export type { LogReader };

/**
 * Opens the log read-only; a running instance is not disturbed.
 *
 * Errors  E_NOT_RUNNING when the folder holds no log
 */
export async function openReader(dir: string): Promise<LogReader> {
  if (!existsSync(join(dir, 'log')))
    throw new MillraceError(
      'E_NOT_RUNNING',
      `there is no log in the data folder ${dir}: nothing has run there yet, or --data names another folder`,
    );
  return openEmbeddedReader({ dir });
}

/** The topic of that name. Errors: E_UNKNOWN_TOPIC, naming the nearest */
export async function topicNamed(log: LogReader, name: string): Promise<TopicInfo> {
  const topics = await log.listTopics();
  const topic = topics.find((t) => t.name === name);
  if (topic !== undefined) return topic;
  throw new MillraceError(
    'E_UNKNOWN_TOPIC',
    `there is no topic '${name}'; ${didYouMean(
      name,
      topics.map((t) => t.name),
    )}`,
  );
}
