"""What the desktop shows beside the Processing Toolbox."""
