package nervio.worker;

import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import java.util.concurrent.TimeUnit;
import nervio.worker.v1.FleetGrpc;

/** The channel to where results are taken, made anew when that is another place. For one thread. */
final class Channel {
  private static final int KEEP_ALIVE_SECONDS = 30;
  private static final int ANSWER_SECONDS = 10;

  private final Options options;
  private ManagedChannel channel;
  private String connectedTo = "";

  Channel(Options options) {
    this.options = options;
  }

  /** What the master at that endpoint can be asked; nothing is connected before it is. */
  FleetGrpc.FleetStub to(String endpoint) {
    if (channel != null && connectedTo.equals(endpoint)) {
      channel.resetConnectBackoff(); // the pause between two tries is ours
    } else {
      hangUp();
      channel = make(endpoint);
      connectedTo = endpoint;
    }
    FleetGrpc.FleetStub stub = FleetGrpc.newStub(channel);
    if (options.token().isEmpty()) {
      return stub;
    }
    Metadata metadata = new Metadata();
    metadata.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + options.token());
    return stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(metadata));
  }

  void hangUp() {
    if (channel != null) {
      channel.shutdownNow();
      channel = null;
    }
  }

  private ManagedChannel make(String endpoint) {
    NettyChannelBuilder builder =
        NettyChannelBuilder.forTarget("dns:///" + endpoint)
            .proxyDetector(address -> null) // loopback and private addresses have no business with a proxy
            .keepAliveTime(KEEP_ALIVE_SECONDS, TimeUnit.SECONDS)
            .keepAliveTimeout(ANSWER_SECONDS, TimeUnit.SECONDS)
            .keepAliveWithoutCalls(true);
    if (options.tls().hasAuthority()) {
      builder.sslContext(options.tls().forGrpc());
    } else {
      builder.usePlaintext();
    }
    return builder.build();
  }
}
