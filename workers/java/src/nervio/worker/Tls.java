package nervio.worker;

import io.grpc.netty.GrpcSslContexts;
import io.netty.handler.ssl.SslContext;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Collection;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.TrustManagerFactory;

/** Whom to trust, and what to show: the same to broker and master. */
final class Tls {
  private static final Pattern KEY = Pattern.compile("-----BEGIN PRIVATE KEY-----([^-]+)-----END PRIVATE KEY-----");
  private static final char[] NO_PASSWORD = new char[0];

  private final TrustManagerFactory trust;
  private final KeyManagerFactory keys;

  private Tls(TrustManagerFactory trust, KeyManagerFactory keys) {
    this.trust = trust;
    this.keys = keys;
  }

  /** Reads PEM files; each may be null. An IllegalArgumentException names the option that cannot be. */
  static Tls read(Path ca, Path certificate, Path key) {
    if ((certificate == null) != (key == null)) {
      throw new IllegalArgumentException("certificate and key go together; one of them is empty");
    }
    return new Tls(ca == null ? null : readTrust(ca), certificate == null ? null : readKeys(certificate, key));
  }

  /** Whether gRPC goes over TLS. */
  boolean hasAuthority() {
    return trust != null;
  }

  SSLContext forMqtt() throws SSLException {
    try {
      SSLContext context = SSLContext.getInstance("TLS");
      context.init(keys == null ? null : keys.getKeyManagers(), trust == null ? null : trust.getTrustManagers(), null);
      return context;
    } catch (GeneralSecurityException problem) {
      throw new SSLException(problem);
    }
  }

  SslContext forGrpc() {
    try {
      return GrpcSslContexts.forClient().trustManager(trust).keyManager(keys).build();
    } catch (SSLException problem) {
      throw new IllegalStateException(problem);
    }
  }

  private static TrustManagerFactory readTrust(Path file) {
    try {
      KeyStore store = emptyStore();
      int n = 0;
      for (Certificate one : readCertificates(file)) {
        store.setCertificateEntry("ca-" + n++, one);
      }
      TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      trust.init(store);
      return trust;
    } catch (IOException | GeneralSecurityException problem) {
      throw new IllegalArgumentException("ca: " + file + " is no use: " + Log.why(problem), problem);
    }
  }

  private static KeyManagerFactory readKeys(Path certificate, Path key) {
    try {
      KeyStore store = emptyStore();
      Certificate[] chain = readCertificates(certificate).toArray(new Certificate[0]);
      store.setKeyEntry("worker", readKey(key), NO_PASSWORD, chain);
      KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
      keys.init(store, NO_PASSWORD);
      return keys;
    } catch (IOException | GeneralSecurityException problem) {
      throw new IllegalArgumentException(
          "certificate " + certificate + " is no use with key " + key + ": " + Log.why(problem), problem);
    }
  }

  private static Collection<? extends Certificate> readCertificates(Path file)
      throws IOException, GeneralSecurityException {
    ByteArrayInputStream text = new ByteArrayInputStream(Files.readAllBytes(file));
    Collection<? extends Certificate> found = CertificateFactory.getInstance("X.509").generateCertificates(text);
    if (found.isEmpty()) {
      throw new IOException("it has no certificate in PEM");
    }
    return found;
  }

  private static PrivateKey readKey(Path file) throws IOException, GeneralSecurityException {
    Matcher found = KEY.matcher(Files.readString(file, StandardCharsets.US_ASCII));
    if (!found.find()) {
      throw new IOException("it has no PRIVATE KEY in PEM; openssl pkcs8 -topk8 -nocrypt makes one of other forms");
    }
    PKCS8EncodedKeySpec spec = new PKCS8EncodedKeySpec(Base64.getMimeDecoder().decode(found.group(1)));
    for (String algorithm : List.of("EC", "RSA", "EdDSA")) {
      try {
        return KeyFactory.getInstance(algorithm).generatePrivate(spec);
      } catch (InvalidKeySpecException other) {
        continue; // a key says only when it is read of which sort it is
      }
    }
    throw new InvalidKeySpecException("it is no key of EC, RSA or Ed25519");
  }

  private static KeyStore emptyStore() throws IOException, GeneralSecurityException {
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, NO_PASSWORD);
    return store;
  }
}
