// Plays a file into a pipeline in memory: the same publishes as over MQTT, without the sockets.
import { dirname, resolve } from 'node:path';
import type { Pipeline } from '../../engine/pipeline.ts';
import { loadPlaySource } from '../../ingest/playSource.ts';
import { readSeed } from '../../runtime/readSeed.ts';
import { type Driver, type DriveOptions, drive } from '../../testing/drive.ts';

export interface PlayThroughOptions extends DriveOptions {
  /** Called after each publish, to cut or crash there. */
  readonly between?: (driver: Driver, index: number) => void;
}

/** The key of the smart city's route: the last level of the topic. */
export const stationOf = (topic: string): string => topic.slice(topic.lastIndexOf('/') + 1);

/** The publishes of the play as the listener would log them: key, bytes, event time; seeds first, the end of the run last. */
export async function playThrough(pipeline: Pipeline, file: string, play: string, options: PlayThroughOptions = {}): Promise<Driver> {
  const driver = drive(pipeline, options);
  for (const { topic } of driver.plan.topics)
    if (topic?.seed !== undefined)
      for (const { key, value } of readSeed(resolve(dirname(file), topic.seed)).rows) driver.send(topic, key, value, 0);
  const source = driver.plan.topics.find(({ role }) => role === 'source')?.topic;
  if (source === undefined) throw new Error('the pipeline reads no topic');
  for await (const record of (await loadPlaySource(play, { cwd: dirname(file) })).records(0)) {
    driver.sendBytes(source, Buffer.from(stationOf(record.topic)), record.payload, record.atMs as number);
    options.between?.(driver, record.index);
  }
  driver.end();
  return driver;
}
