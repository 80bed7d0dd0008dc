// Makes pipelines/smart-city/data/air.csv out of the original data set, byte for byte the same each time.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const STATIONS = ['Aotizhongxin', 'Changping', 'Dongsi', 'Guanyuan', 'Huairou', 'Shunyi'];
const POLLUTANTS = ['PM2.5', 'PM10', 'SO2', 'NO2', 'CO', 'O3'];

/** The first and last hour taken, in the data's own local time, which sorts as text. */
const FROM = '2016-12-16 00:00';
const TO = '2017-02-28 23:00';

/** One hour of one station: its local time and the pollutants as the original writes them, `NA` for what was not measured. */
interface Row {
  readonly time: string;
  readonly station: string;
  readonly cells: readonly string[];
}

/** The text of a station's file: as UCI ships it, or gzipped under the station's name. */
function readStation(folder: string, station: string): string | undefined {
  const plain = join(folder, `PRSA_Data_${station}_20130301-20170228.csv`);
  if (existsSync(plain)) return readFileSync(plain, 'utf8');
  const zipped = join(folder, `${station}.csv.gz`);
  return existsSync(zipped) ? gunzipSync(readFileSync(zipped)).toString('utf8') : undefined;
}

/** The rows of one file. Its cells hold no commas; UCI's own copy quotes text cells. */
function rowsOf(text: string, station: string): Row[] {
  const [head = '', ...lines] = text.trim().split(/\r?\n/);
  const cellsOf = (line: string) => line.split(',').map((cell) => cell.replace(/^"|"$/g, ''));
  const at = new Map(cellsOf(head).map((name, i) => [name, i]));
  const column = (name: string): number => {
    const i = at.get(name);
    if (i === undefined) throw new Error(`${station}: no column '${name}'; is this UCI data set 501?`);
    return i;
  };
  const [year, month, day, hour] = [column('year'), column('month'), column('day'), column('hour')];
  const pollutants = POLLUTANTS.map(column);
  return lines.map(cellsOf).map((cells) => {
    const two = (i: number) => (cells[i] ?? '').padStart(2, '0');
    return { time: `${cells[year]}-${two(month)}-${two(day)} ${two(hour)}:00`, station, cells: pollutants.map((i) => cells[i] ?? 'NA') };
  });
}

/** The excerpt's text: every station's hours between FROM and TO, by time, then station. Undefined: a file is missing. */
export function excerpt(folder: string): string | undefined {
  const rows: Row[] = [];
  for (const station of STATIONS) {
    const text = readStation(folder, station);
    if (text === undefined) return undefined;
    rows.push(...rowsOf(text, station).filter((row) => row.time >= FROM && row.time <= TO));
  }
  const order = (row: Row) => `${row.time} ${row.station}`;
  rows.sort((a, b) => (order(a) < order(b) ? -1 : 1));
  return `${[['time', 'station', ...POLLUTANTS], ...rows.map((row) => [row.time, row.station, ...row.cells])].map((cells) => cells.join(',')).join('\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = process.argv[2];
  const target = fileURLToPath(new URL('../../pipelines/smart-city/data/air.csv', import.meta.url));
  const text = folder === undefined ? undefined : excerpt(folder);
  if (text === undefined)
    console.log(
      `skipped: give the folder of UCI data set 501 (${STATIONS.map((s) => `PRSA_Data_${s}_….csv`).join(', ')}): tsx scripts/excerpt/smart-city.ts FOLDER`,
    );
  else {
    writeFileSync(target, text);
    console.log(`${target}: ${text.length} bytes, ${text.split('\n').length - 2} rows`);
  }
}
