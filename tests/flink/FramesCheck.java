package exactlyonce.flink;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;

/** Reads the golden frames and writes them again: the bytes must be the same. */
final class FramesCheck {
    public static void main(String[] arguments) throws Exception {
        byte[] golden = Files.readAllBytes(Paths.get(arguments[0]));
        DataInputStream in = new DataInputStream(new ByteArrayInputStream(golden));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        int count = 0;
        Frames.Frame frame;
        while ((frame = Frames.read(in)) != null) {
            byte[] payload = frame.payload;
            if (frame.kind == Frames.PARTS) {
                // A restore is a number and a list, so its tail is the list as it was read.
                byte[] restore = Frames.restore(0, Frames.list(payload));
                payload = Arrays.copyOfRange(restore, Long.BYTES, restore.length);
            } else if (frame.kind == Frames.SNAPSHOT || frame.kind == Frames.COMPLETE) {
                payload = Frames.number(Frames.number(payload));
            }
            out.write(Frames.frame(frame.kind, payload));
            count++;
        }
        if (!Arrays.equals(golden, out.toByteArray())) {
            throw new AssertionError("the bytes differ");
        }
        System.out.println(count + " frames");
    }
}
