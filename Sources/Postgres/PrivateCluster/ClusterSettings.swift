/// The private server's settings files.
enum ClusterSettings {
  /// Durable as in production, modest in memory, and reachable through the socket alone.
  static func server(socket: String) -> String {
    """
    # Written at each start.
    listen_addresses = ''
    port = 5432
    unix_socket_directories = '\(quoted(socket))'
    unix_socket_permissions = 0700
    max_connections = 200

    fsync = on
    full_page_writes = on
    synchronous_commit = on

    shared_buffers = 256MB
    maintenance_work_mem = 128MB
    max_wal_size = 4GB
    wal_compression = on
    checkpoint_timeout = 15min
    random_page_cost = 1.1
    jit = off

    timezone = 'UTC'
    log_timezone = 'UTC'
    log_checkpoints = off
    log_line_prefix = '%m [%p] %q%a '
    # Statements may carry values; the client reports its own errors.
    log_min_error_statement = panic
    log_min_messages = warning

    """
  }

  /// Whoever can open the socket is allowed in, and the socket's directory lets in nobody else.
  static let access = """
    # Written at each start.
    local all all trust

    """

  private static func quoted(_ text: String) -> String {
    text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''")
  }
}
