import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/** Runs a file of SQL statements on a Flink of its own in this process: FlinkSql FILE.sql PARALLELISM [name=value ...] */
public final class FlinkSql {
  private static final Pattern SETTING = Pattern.compile("SET\\s+'([^']*)'\\s*=\\s*'([^']*)'", Pattern.CASE_INSENSITIVE);

  public static void main(String[] arguments) throws Exception {
    Configuration configuration = new Configuration();
    for (int at = 2; at < arguments.length; at++) {
      String[] setting = arguments[at].split("=", 2);
      configuration.setString(setting[0], setting[1]);
    }
    int parallelism = Integer.parseInt(arguments[1]);
    StreamTableEnvironment tables =
        StreamTableEnvironment.create(StreamExecutionEnvironment.createLocalEnvironment(parallelism, configuration));
    for (String statement : statements(Files.readString(Path.of(arguments[0])))) {
      Matcher setting = SETTING.matcher(statement);
      if (setting.matches()) {
        tables.getConfig().set(setting.group(1), setting.group(2));
      } else {
        tables.executeSql(statement).await();
      }
    }
    // Threads of the local cluster would keep the process for a while; everything is committed.
    System.exit(0);
  }

  /** The statements of a file: comments are lines of their own, and no literal has a semicolon. */
  private static List<String> statements(String text) {
    List<String> found = new ArrayList<>();
    for (String part : text.replaceAll("(?m)^\\s*--.*$", "").split(";")) {
      if (!part.isBlank()) {
        found.add(part.strip());
      }
    }
    return found;
  }
}
