//! What a live view looks like.

use ratatui::Frame;
use ratatui::widgets::Paragraph;

use super::frame::LiveFrame;

/// Draws a run at one moment over the whole frame, of any size.
pub fn draw(frame: &mut Frame<'_>, live: &LiveFrame, colour: bool) {
    let _ = colour;
    frame.render_widget(Paragraph::new(live.scenario.as_str()), frame.area());
}
