// Finds pipeline files by name or path and loads the pipelines in them.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { MillraceError } from '../engine/errors.ts';
import type { Pipeline } from '../engine/pipeline.ts';
import { loadDefault } from './loadModule.ts';
import { didYouMean } from './nearest.ts';
import { packageRoot } from './ownPackage.ts';

/** A pipeline and the file it came from. */
export interface LoadedPipeline {
  readonly pipeline: Pipeline;
  /** Absolute. Seeds are relative to its folder. */
  readonly file: string;
}

const FILE_NAMES = ['pipeline.ts', 'pipeline.js', 'pipeline.mjs'];

/**
 * The file behind a name under pipelines/ (in the working folder first, then the ones millrace brings) or behind a path.
 *
 * Errors  E_USAGE when there is none, naming the nearest
 */
export function findPipeline(nameOrPath: string, cwd: string): string {
  if (/[/\\]|\.[mc]?[jt]s$/.test(nameOrPath)) return fileAt(resolve(cwd, nameOrPath), nameOrPath);
  for (const folder of pipelineFolders(cwd))
    for (const file of FILE_NAMES) {
      const path = join(folder, nameOrPath, file);
      if (existsSync(path)) return path;
    }
  throw new MillraceError('E_USAGE', `there is no pipeline '${nameOrPath}'; ${didYouMean(nameOrPath, pipelineNames(cwd))}`);
}

/** Every name {@link findPipeline} knows. */
export function pipelineNames(cwd: string): readonly string[] {
  const names = pipelineFolders(cwd).flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder).filter((name) => FILE_NAMES.some((file) => existsSync(join(folder, name, file)))) : [],
  );
  return [...new Set(names)].sort();
}

function pipelineFolders(cwd: string): readonly string[] {
  return [join(cwd, 'pipelines'), join(packageRoot, 'pipelines')];
}

function fileAt(path: string, given: string): string {
  if (!existsSync(path)) throw new MillraceError('E_USAGE', `there is no file ${path}${given === path ? '' : ` (from '${given}')`}`);
  if (!statSync(path).isDirectory()) {
    if (!/\.[mc]?[jt]s$/.test(path)) throw new MillraceError('E_USAGE', `${path} is no .ts or .js file`);
    return path;
  }
  const file = FILE_NAMES.map((name) => join(path, name)).find((p) => existsSync(p));
  if (file === undefined) throw new MillraceError('E_USAGE', `the folder ${path} holds no ${FILE_NAMES.join(', ')}`);
  return file;
}

/**
 * Loads one pipeline file.
 *
 * Errors  E_PIPELINE when it cannot be read, throws, or its default export is no pipeline
 */
export async function loadPipeline(file: string): Promise<LoadedPipeline> {
  const found = await loadDefault(file, 'E_PIPELINE');
  if (!isPipeline(found))
    throw new MillraceError(
      'E_PIPELINE',
      `${file}: the default export must be a pipeline, found ${sayWhat(found)}; write: export default pipeline('my-line', [ … ])`,
    );
  return { pipeline: found, file };
}

/**
 * Loads several; two of one id, or one given twice, cannot run together.
 *
 * Errors  E_PIPELINE
 */
export async function loadPipelines(files: readonly string[]): Promise<readonly LoadedPipeline[]> {
  const loaded: LoadedPipeline[] = [];
  for (const file of files) {
    const next = await loadPipeline(file);
    const same = loaded.find((other) => other.pipeline.id === next.pipeline.id);
    if (same !== undefined)
      throw new MillraceError(
        'E_PIPELINE',
        `${file} and ${same.file} are both pipeline '${next.pipeline.id}'; ids name topics and state, so give one another`,
      );
    loaded.push(next);
  }
  return loaded;
}

/** By structure, never by class: the file may use a millrace of its own. */
function isPipeline(value: unknown): value is Pipeline {
  const it = value as Partial<Pipeline> | null | undefined;
  return (
    typeof it === 'object' &&
    it !== null &&
    it.kind === 'pipeline' &&
    typeof it.id === 'string' &&
    Array.isArray(it.outputs) &&
    typeof it.options === 'object'
  );
}

function sayWhat(value: unknown): string {
  if (value === undefined) return 'none';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  const kind = typeof value === 'object' ? (value as { kind?: unknown }).kind : undefined;
  if (typeof kind === 'string') return `an object of kind '${kind}'`;
  if (typeof value === 'object' && 'pipe' in value) return 'a stream';
  return typeof value === 'object' ? `an object with ${Object.keys(value).slice(0, 5).join(', ') || 'no keys'}` : `a ${typeof value}`;
}
