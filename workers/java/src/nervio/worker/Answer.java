package nervio.worker;

import java.util.Map;

/**
 * What a task came to.
 *
 * @param result anything that Gson can write
 * @param usage what it cost ({@code input_tokens}, {@code output_tokens}, …); null where it is not known
 */
public record Answer(Object result, Map<String, ?> usage) {}
