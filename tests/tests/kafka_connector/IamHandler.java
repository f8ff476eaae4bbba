// The broker's side of MSK IAM, for tests: takes the token that the AWS signer makes (a presigned URL, base64url) and
// recomputes its signature with the one secret that it knows. It asks no AWS.

import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.*;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.callback.Callback;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

public class IamHandler implements AuthenticateCallbackHandler {
    private static final String KEY_ID = "AKIDTESTS", SECRET = "test-secret", REGION = "eu-west-1";

    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {}

    public void close() {}

    // As a login handler (the broker itself needs no token) there is nothing to do.
    public void handle(Callback[] callbacks) {
        for (Callback callback : callbacks) {
            if (!(callback instanceof OAuthBearerValidatorCallback)) continue;
            OAuthBearerValidatorCallback asked = (OAuthBearerValidatorCallback) callback;
            try {
                asked.token(check(asked.tokenValue()));
            } catch (Exception refused) {
                System.err.println("token refused: " + refused);
                asked.error("invalid_token", null, null);
            }
        }
    }

    private static OAuthBearerToken check(String token) throws Exception {
        URI url = URI.create(new String(Base64.getUrlDecoder().decode(token), StandardCharsets.UTF_8));
        require(url.getHost().equals("kafka." + REGION + ".amazonaws.com"), "host " + url.getHost());
        TreeMap<String, String> signed = new TreeMap<>();
        String signature = null;
        for (String pair : url.getRawQuery().split("&")) {
            String[] parts = pair.split("=", 2);
            if (parts[0].equals("X-Amz-Signature")) signature = parts[1];
            else if (!parts[0].equals("User-Agent")) signed.put(parts[0], parts[1]);
        }
        require("kafka-cluster%3AConnect".equals(signed.get("Action")), "action " + signed.get("Action"));
        String date = signed.get("X-Amz-Date"), day = date.substring(0, 8);
        String scope = day + "/" + REGION + "/kafka-cluster/aws4_request";
        String credential = URLDecoder.decode(signed.get("X-Amz-Credential"), StandardCharsets.UTF_8);
        require(credential.equals(KEY_ID + "/" + scope), "credential " + credential);
        Instant from = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC).parse(date, Instant::from);
        Instant until = from.plusSeconds(Long.parseLong(signed.get("X-Amz-Expires")));
        require(Instant.now().isBefore(until), "expired at " + until);

        StringJoiner query = new StringJoiner("&");
        signed.forEach((key, value) -> query.add(key + "=" + value));
        String request = "GET\n/\n" + query + "\nhost:" + url.getHost() + "\n\nhost\n" + hex(sha256(""));
        String text = "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + hex(sha256(request));
        byte[] key = ("AWS4" + SECRET).getBytes(StandardCharsets.UTF_8);
        for (String part : new String[] {day, REGION, "kafka-cluster", "aws4_request", text}) key = hmac(key, part);
        require(hex(key).equals(signature), "signature");
        return token(token, until.toEpochMilli(), from.toEpochMilli());
    }

    private static void require(boolean holds, String what) {
        if (!holds) throw new IllegalArgumentException(what);
    }

    private static byte[] sha256(String text) throws Exception {
        return MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
    }

    private static byte[] hmac(byte[] key, String text) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    private static OAuthBearerToken token(String value, long until, long from) {
        return new OAuthBearerToken() {
            public String value() { return value; }
            public Set<String> scope() { return Set.of(); }
            public long lifetimeMs() { return until; }
            public String principalName() { return "iam"; }
            public Long startTimeMs() { return from; }
        };
    }
}
