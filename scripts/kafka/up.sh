#!/usr/bin/env bash
# Starts one real Apache Kafka broker (KRaft, no authentication) on 127.0.0.1. Needs Java 17 and, the first time, Maven.
#
#   scripts/kafka/up.sh DIR      state, logs, port and pid go to DIR; prints 127.0.0.1:PORT when the broker answers
#   scripts/kafka/down.sh DIR    stops it and waits
#
#   KAFKA_LIBS   folder of the broker's jars (default .kafka/libs at the root of the repository, filled by Maven if empty)
#   PORT         default: a free port          KAFKA_HEAP   default 512m
#   KAFKA_EXTRA  more lines for server.properties
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: up.sh DIR}
libs=${KAFKA_LIBS:-$here/../../.kafka/libs}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

if ! compgen -G "$libs/kafka_*.jar" >/dev/null; then
  mkdir -p "$libs"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$libs" >&2
fi

# Both sockets are open at once, so the two ports differ.
free_ports='const net=require("net");const open=()=>new Promise(r=>{const s=net.createServer();s.listen(0,"127.0.0.1",()=>r(s))});
Promise.all([open(),open()]).then(([a,b])=>{console.log(a.address().port,b.address().port);a.close();b.close()})'
read -r free controller < <(node -e "$free_ports")
port=${PORT:-$free}

cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
${KAFKA_EXTRA:-}
PROPERTIES

if [ ! -d "$dir/data" ]; then
  java -cp "$libs/*" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$dir/server.properties" >"$dir/format.log" 2>&1
fi
nohup java "-Xmx${KAFKA_HEAP:-512m}" -cp "$libs/*" kafka.Kafka "$dir/server.properties" >"$dir/broker.log" 2>&1 &
pid=$!
echo "$pid" >"$dir/pid"
echo "$port" >"$dir/port"

for _ in $(seq 1 240); do
  if ! kill -0 "$pid" 2>/dev/null; then break; fi
  if grep -q 'Kafka Server started' "$dir/broker.log" || (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "127.0.0.1:$port"
    exit 0
  fi
  sleep 0.25
done
echo 'the broker did not start:' >&2
tail -20 "$dir/broker.log" >&2
kill "$pid" 2>/dev/null || true
exit 1
