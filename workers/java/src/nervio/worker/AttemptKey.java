package nervio.worker;

/** What names an attempt. */
record AttemptKey(String tenantId, String taskId, long token) {}
