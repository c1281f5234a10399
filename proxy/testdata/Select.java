import java.net.ProxySelector;
import java.net.Proxy;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.List;
import java.util.Scanner;

// Reads lines of "property=value<TAB>...<TAB>address" and prints what Java's own
// proxy selector answers with these properties: host:port, or nothing.
public class Select {
    static final String[] NAMES = {
        "http.proxyHost", "http.proxyPort", "https.proxyHost", "https.proxyPort", "http.nonProxyHosts",
    };

    public static void main(String[] args) throws Exception {
        Scanner in = new Scanner(System.in);
        while (in.hasNextLine()) {
            String[] parts = in.nextLine().split("\t");
            for (String name : NAMES) {
                System.clearProperty(name);
            }
            for (int i = 0; i < parts.length - 1; i++) {
                String[] pair = parts[i].split("=", 2);
                System.setProperty(pair[0], pair[1]);
            }
            List<Proxy> all = ProxySelector.getDefault().select(new URI(parts[parts.length - 1]));
            Proxy first = all.get(0);
            if (first.type() == Proxy.Type.DIRECT) {
                System.out.println();
                continue;
            }
            InetSocketAddress a = (InetSocketAddress) first.address();
            System.out.println("http://" + a.getHostString() + ":" + a.getPort());
        }
    }
}
