// The process of the desk: forked by the supervisor.
import { runChild } from './child.ts';
import { startDesk } from './desk.ts';

runChild(startDesk);
