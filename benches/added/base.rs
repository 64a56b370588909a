//! A program that calls an API with a given header.

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("API_URL")?;
    let client = reqwest::Client::new();
    let request = client.get(url).bearer_auth(std::env::var("TOKEN")?);
    let answer = request.send().await?;
    println!("{} {}", answer.status(), answer.text().await?);
    Ok(())
}
