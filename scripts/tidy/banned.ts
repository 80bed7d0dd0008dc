// What engine/ and operators/ may not do: read a clock, wait, roll dice, or turn the compiler off.
import { Visitor } from 'oxc-parser';
import { areaOf, type Finding, lineOf, type Source } from './source.ts';

/** The only file of the engine that waits and reads the monotonic clock. */
const MAY_WAIT = 'engine/worker.ts';

/**
 * Files that hold records of types that only the compiler has seen: there `any` is what makes variance work, and
 * `unknown` would ask for a cast at every use. Each with its reason; a file of operators/ is never listed.
 */
const ANY_FILES: Readonly<Record<string, string>> = {
  'engine/stream.ts': 'the graph holds nodes of every record type; the public signatures are exact',
  'engine/step.ts': 'AnyRec, the one record type of the running chain, is declared here',
  'engine/topic.ts': 'a resolved target is a topic of whatever the stream held',
};

const CALLS: Readonly<Record<string, string>> = {
  'Date.now': 'time is data: use the event time or the clock of the step',
  'performance.now': 'only engine/worker.ts reads the monotonic clock',
  'process.hrtime': 'only engine/worker.ts reads the monotonic clock',
  'Math.random': 'results must be the same on every replay',
};
const TIMERS = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'];

/** Banned words of engine/ and operators/, found in the syntax tree, so that comments and strings are free. */
export function banned(source: Source): readonly Finding[] {
  const area = areaOf(source.path);
  if (area !== 'engine' && area !== 'operators') return [];
  const found: Finding[] = [];
  const add = (node: { start: number }, rule: string, message: string): void => {
    found.push({ path: source.path, line: lineOf(source, node.start), rule, message });
  };
  if (source.path !== MAY_WAIT) visitWaiting(source, add);
  visitAny(source, area, add);
  return found;
}

type Add = (node: { start: number }, rule: string, message: string) => void;

function visitWaiting(source: Source, add: Add): void {
  const synchronous = 'the chain is synchronous: asynchronous work is a stage of its own, or belongs to engine/worker.ts';
  const ifAsync = (node: { start: number; async: boolean }): void => {
    if (node.async) add(node, 'no-await', `async function: ${synchronous}`);
  };
  new Visitor({
    MemberExpression(node) {
      const name = source.text.slice(node.start, node.end).replace(/\s/g, '');
      const why = CALLS[name];
      if (why !== undefined) add(node, 'no-clock', `${name}: ${why}`);
    },
    CallExpression(node) {
      if (node.callee.type === 'Identifier' && TIMERS.includes(node.callee.name))
        add(node, 'no-clock', `${node.callee.name}: use the timers that the task hands to the step`);
    },
    NewExpression(node) {
      if (node.callee.type === 'Identifier' && node.callee.name === 'Date' && node.arguments.length === 0)
        add(node, 'no-clock', `new Date(): ${CALLS['Date.now']}`);
    },
    AwaitExpression: (node) => add(node, 'no-await', `await: ${synchronous}`),
    ForOfStatement(node) {
      if (node.await) add(node, 'no-await', `for await: ${synchronous}`);
    },
    FunctionDeclaration: ifAsync,
    FunctionExpression: ifAsync,
    ArrowFunctionExpression: ifAsync,
  }).visit(source.program);
}

function visitAny(source: Source, area: string, add: Add): void {
  if (area === 'engine' && ANY_FILES[source.path] !== undefined) return;
  new Visitor({
    TSAnyKeyword(node) {
      if (area === 'engine' && hasReason(source, node.start)) return;
      const way = area === 'engine' ? 'write unknown or AnyRec, or say why at the end of the line: // any: …' : 'write unknown or AnyRec';
      add(node, 'no-any', `any turns the compiler off; ${way}`);
    },
  }).visit(source.program);
}

/** Whether the line ends in `// any: reason`. */
function hasReason(source: Source, offset: number): boolean {
  const end = source.text.indexOf('\n', offset);
  return source.comments.some(
    ({ type, value, start }) => type === 'Line' && start > offset && (end === -1 || start < end) && /^ any: \S/.test(value),
  );
}
