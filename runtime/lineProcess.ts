// The process of the line: forked by the supervisor.
import { runChild } from './child.ts';
import { startLine } from './line.ts';

runChild(startLine);
