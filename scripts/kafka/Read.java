// Reads a partition from its beginning with Java's own consumer and prints one JSON line a record; bytes are in hex.
// Run: java -cp "$KAFKA_LIBS/*" scripts/kafka/Read.java HOST:PORT TOPIC PARTITION COUNT [read_committed|read_uncommitted]
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Read {
  public static void main(String[] args) throws Exception {
    TopicPartition partition = new TopicPartition(args[1], Integer.parseInt(args[2]));
    int count = Integer.parseInt(args[3]);
    String isolation = args.length > 4 ? args[4] : "read_committed";
    Map<String, Object> config = Map.of("bootstrap.servers", args[0], "isolation.level", isolation, "check.crcs", "true");
    try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      consumer.assign(List.of(partition));
      consumer.seekToBeginning(List.of(partition));
      StringBuilder out = new StringBuilder();
      long deadline = System.nanoTime() + 30_000_000_000L;
      for (int n = 0; n < count && System.nanoTime() < deadline; ) {
        for (var record : consumer.poll(Duration.ofMillis(200))) {
          out.append(json(record)).append('\n');
          n++;
        }
      }
      System.out.print(out);
    }
  }

  static String json(ConsumerRecord<byte[], byte[]> record) {
    List<String> headers = new ArrayList<>();
    for (Header header : record.headers()) headers.add("[" + hex(header.key().getBytes(java.nio.charset.StandardCharsets.UTF_8)) + "," + hex(header.value()) + "]");
    return "{\"offset\":" + record.offset() + ",\"timeMs\":" + record.timestamp() + ",\"key\":" + hex(record.key()) + ",\"value\":" + hex(record.value()) + ",\"headers\":[" + String.join(",", headers) + "]}";
  }

  static String hex(byte[] bytes) {
    return bytes == null ? "null" : '"' + HexFormat.of().formatHex(bytes) + '"';
  }
}
